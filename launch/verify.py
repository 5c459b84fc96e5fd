"""Compare a run's outputs with onnxruntime's, on the run's own model and inputs."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emulator.chip.load import load_chip
from emulator.config import RunConfig
from emulator.config_file import load_model
from emulator.network.ort import run_onnxruntime
from emulator.values.crossbars import is_ideal
from launch.prepare import CONFIG_NAMES
from launch.sources import INPUTS_NAME, MODEL_NAME, preprocessing_of
from traces.errors import TraceError
from traces.reader import Trace


@dataclass(frozen=True, slots=True)
class Verification:
    """How the outputs of a run compare.

    Attributes:
        n_different: output values that differ.
        largest: largest difference, in units of the last place.
        n_same_top1: images whose largest output is the same one.
        is_ideal: whether the chip's crossbars are exact, so that nothing should differ.
    """

    n_images: int
    n_values: int
    n_different: int
    largest: int
    n_same_top1: int
    is_ideal: bool

    @property
    def exact(self) -> bool:
        """Whether every value is the same."""
        return self.n_different == 0

    def to_text(self) -> str:
        """Say it in a sentence."""
        if self.exact:
            return f"exact: all {self.n_values:,} outputs of {self.n_images} images equal onnxruntime's, bit for bit"
        reason = "" if self.is_ideal else "; the chip's crossbars are not ideal, so this is no defect"
        return (
            f"different: {self.n_different:,} of {self.n_values:,} outputs differ from onnxruntime's, by at most "
            f"{self.largest} units; top-1 is the same for {self.n_same_top1} of {self.n_images} images{reason}"
        )


def verify_run(folder: Path) -> Verification:
    """Run onnxruntime on what a run kept in its folder and compare.

    Raises:
        TraceError: the folder holds no finished run, or its model is not the one that was run.
    """
    with Trace(folder) as trace:
        outputs = trace.outputs()
        folder, model_hash = trace.path.parent, trace.attribute("model_hash")
    model, inputs = folder / MODEL_NAME, folder / INPUTS_NAME
    for path in (model, inputs):
        if not path.exists():
            raise TraceError(f"{path}: no such file; the output folder of a run holds its model and inputs")
    if hashlib.sha256(model.read_bytes()).hexdigest() != model_hash:
        raise TraceError(f"{model}: this is not the model that was run; restore it or run again")
    config = load_model(folder / CONFIG_NAMES["run_file"], RunConfig, "a run")
    expected = run_onnxruntime(model, np.load(inputs), preprocessing_of(config)).astype(np.int64)
    difference = np.abs(outputs - expected)
    return Verification(
        n_images=len(outputs),
        n_values=outputs.size,
        n_different=int(np.count_nonzero(difference)),
        largest=int(difference.max()),
        n_same_top1=int((outputs.argmax(axis=1) == expected.argmax(axis=1)).sum()),
        is_ideal=is_ideal(load_chip(folder / CONFIG_NAMES["chip_file"]).cluster.ima),
    )
