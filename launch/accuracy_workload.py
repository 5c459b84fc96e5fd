"""The networks that ``aimc accuracy`` evaluates: mapped on rank 0 for every crossbar size, then run case by case."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from emulator.analog.devices import ProgrammedDevices
from emulator.chip.ima import PcmIma
from emulator.chip.load import load_chip
from emulator.chip.spec import Chip
from emulator.config import OnnxConfig, RunConfig
from emulator.emulation import Workload
from emulator.errors import ConfigError, InputError
from emulator.mapping.policy import Policy, load_policy
from emulator.network.geometry import Span
from emulator.network.ort import run_float, run_onnxruntime
from emulator.parallel.local_comm import SerialComm
from emulator.parallel.wire import pack, unpack
from emulator.program.dataflow import Program
from emulator.program.transport import program_from_bytes, program_to_bytes
from emulator.values.conversions import count_conversions
from emulator.values.convolution import Held
from emulator.values.executor import ValueExecutor
from emulator.values.holdings import Holdings
from emulator.values.programming import assemble_crossbars, program_devices
from emulator.values.weights import cut_weights
from launch.accuracy_cases import CALIBRATED_ADC, Case
from launch.prepare import make_workload, set_up_analog
from launch.sources import MODEL_NAME, load_inputs, preprocessing_of, read_network, write_model


@dataclass(frozen=True, slots=True, eq=False)
class Variant:
    """The network mapped to crossbars of one size; the same on every rank.

    Attributes:
        holdings: weights and ADC ranges of all crossbars.
    """

    program: Program
    holdings: Holdings

    def to_plain(self) -> dict[str, Any]:
        """Return what travels to other ranks."""
        return {"program": program_to_bytes(self.program), "holdings": self.holdings.to_bytes()}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Self:
        """Take what ``to_plain`` made."""
        return cls(program_from_bytes(plain["program"]), Holdings.from_bytes(plain["holdings"]))


@dataclass(frozen=True, slots=True, eq=False)
class TestSet:
    """What is classified, on every rank.

    Attributes:
        images: quantised network input, (n_images, height, width, channels).
        labels: the right classes, (n_images,).
    """

    images: NDArray[Any]
    labels: NDArray[np.int64]

    def n_right(self, outputs: NDArray[np.number]) -> int:
        """Count the images whose largest output is that of their class; outputs are (n_images, classes)."""
        return int((outputs.argmax(axis=1) == self.labels).sum())


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """All that ranks need, and what rank 0 has found out with onnxruntime.

    Attributes:
        n_right_float: of the floating-point network; None if the run file names none.
        n_right_int8: of the quantised network.
    """

    variants: dict[tuple[int, int], Variant]
    test_set: TestSet
    n_right_float: int | None
    n_right_int8: int

    def to_bytes(self) -> bytes:
        """Encode for other ranks; the reference accuracies stay behind."""
        variants = [(size, variant.to_plain()) for size, variant in self.variants.items()]
        return pack({"variants": variants, "images": self.test_set.images, "labels": self.test_set.labels})

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Decode what ``to_bytes`` made."""
        received = unpack(data)
        variants = {tuple(size): Variant.from_plain(plain) for size, plain in received["variants"]}
        return cls(variants, TestSet(received["images"], received["labels"]), None, 0)


def prepare(config: RunConfig, cases: Sequence[Case]) -> Prepared:
    """Map the network for every crossbar size among the cases, calibrate, and classify with onnxruntime.

    Raises:
        EmulatorError: whatever is wrong with the run's files, its network or a mapping; or it has no labels; or it
            names programmed devices.
    """
    if config.devices is not None:
        raise ConfigError("devices: accuracy programs the devices of every seed and size anew: leave the key out")
    config.require_weights("it has no accuracy")
    images = load_inputs(config)
    labels = load_labels(config, len(images))
    chip, policy = load_chip(config.resolve(config.chip)), load_policy(config.resolve(config.policy))
    with TemporaryDirectory() as folder:
        model = Path(folder) / MODEL_NAME
        write_model(config, images, model)
        read_network(config, model)  # what cannot be expressed is said of the run file's network, not of this copy
        int8 = run_onnxruntime(model, images, preprocessing_of(config))
        _check_classes(config, labels, int8.shape[1])
        float_model = config.network.float_model if isinstance(config.network, OnnxConfig) else None
        real = None if float_model is None else run_float(config.resolve(float_model), images, preprocessing_of(config))
        workloads = {
            variant: _workload(config, chip, policy, images, model, variant)
            for variant in dict.fromkeys(case.variant for case in cases)
        }
    test_set = TestSet(next(iter(workloads.values())).images, labels)
    everywhere = Span(0, chip.n_clusters)
    variants = {
        variant: Variant(w.program, Holdings.cut(cut_weights(w.mapping, w.program, everywhere), w.analog))
        for variant, w in workloads.items()
    }
    n_right_float = None if real is None else test_set.n_right(real)
    return Prepared(variants, test_set, n_right_float, test_set.n_right(int8))


def _workload(
    config: RunConfig, chip: Chip, policy: Policy, images: NDArray[np.uint8], model: Path, variant: tuple[int, int]
) -> Workload:
    """Map the network to crossbars of other rows and columns; their ADC ranges are calibrated unless they are fixed."""
    ima = chip.cluster.ima
    assert isinstance(ima, PcmIma)
    models = ima.analog.model_copy(update={"adc": ima.analog.adc or CALIBRATED_ADC})
    resized = ima.model_copy(update={"rows": variant[0], "columns": variant[1], "models": models})
    changed = chip.model_copy(update={"cluster": chip.cluster.model_copy(update={"ima": resized})})
    workload, _ = make_workload(config, changed, policy, images, model, lambda *_: None)
    return set_up_analog(config, workload, images)


def load_labels(config: RunConfig, n_images: int) -> NDArray[np.int64]:
    """Load the classes of a run's images.

    Raises:
        ConfigError: the run file names none.
        InputError: they are no array of whole numbers, or fewer than the images.
    """
    if config.inputs.labels is None:
        raise ConfigError("inputs.labels: accuracy needs the class of every image: name a .npy array in the run file")
    path = config.resolve(config.inputs.labels)
    try:
        labels = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{path}: cannot be read as a numpy array: {error}") from error
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or len(labels) < n_images:
        came = f"{labels.dtype} {labels.shape}"
        raise InputError(f"{path}: expected whole numbers, one for each of {n_images} images, got {came}")
    classes: NDArray[np.int64] = labels[:n_images].astype(np.int64)
    return classes


def _check_classes(config: RunConfig, labels: NDArray[np.int64], n_classes: int) -> None:
    """Refuse labels that no output of the network stands for: counted from 1, say."""
    if labels.min() < 0 or labels.max() >= n_classes:
        assert config.inputs.labels is not None
        path, came = config.resolve(config.inputs.labels), f"{labels.min()} to {labels.max()}"
        raise InputError(f"{path}: expected classes from 0 to {n_classes - 1}, got {came}")


class Score(NamedTuple):
    """What came out of one case under one seed: right answers, and what the ADCs did."""

    n_right: int
    n_conversions: int
    n_clipped: int


class Evaluator:
    """Classifies the test set, case by case; devices that were programmed for one case serve the next."""

    def __init__(self, prepared: Prepared) -> None:
        self._prepared = prepared
        self._programmed: tuple[object, dict[int, ProgrammedDevices]] = (None, {})

    def evaluate(self, case: Case, seed: int) -> Score:
        """Classify the test set on crossbars of a case."""
        prepared, variant = self._prepared, self._prepared.variants[case.variant]
        weights, program = variant.holdings.weights, variant.program
        analog = assemble_crossbars(
            program,
            weights,
            case.ima,
            seed,
            programmed=self._devices(case, seed),
            largest_sums=variant.holdings.setup.largest_sums,
        )
        sink = _Outputs()
        executor = ValueExecutor(
            program,
            Held(weights, analog),
            owner_of_site=[0] * (program.n_clusters + 1),
            comm=SerialComm(),
            images=prepared.test_set.images,
            n_images=len(prepared.test_set.labels),
            sink=sink,
        )
        executor.run()
        n_images = len(prepared.test_set.labels)
        conversions = count_conversions(program, analog, n_images, executor.n_clipped()).values()
        return Score(
            n_right=prepared.test_set.n_right(np.stack(sink.outputs)),
            n_conversions=sum(each.n_conversions for each in conversions),
            n_clipped=sum(each.n_clipped for each in conversions),
        )

    def _devices(self, case: Case, seed: int) -> dict[int, ProgrammedDevices]:
        analog = case.ima.analog
        how = analog.devices and (analog.devices.statistics, analog.devices.programming_noise)
        key = case.variant, seed, how, analog.faults
        if self._programmed[0] != key:
            variant = self._prepared.variants[case.variant]
            self._programmed = key, program_devices(variant.program, variant.holdings.weights, case.ima, seed)
        return self._programmed[1]


class _Outputs:
    """Keeps the outputs of every image, in their order."""

    def __init__(self) -> None:
        self.outputs: list[NDArray[np.int64]] = []

    def append(self, table: str, columns: dict[str, NDArray[np.int64]]) -> None:
        """Let checksums go."""

    def output(self, image: int, values: NDArray[np.int64]) -> None:
        """Keep the outputs of the next image."""
        assert image == len(self.outputs), (image, len(self.outputs))
        self.outputs.append(values)
