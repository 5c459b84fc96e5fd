"""The digits network: what is in the repository, and that it is computed exactly where crossbars are ideal."""

from pathlib import Path

import numpy as np
import pytest

from emulator.network.ort import run_float, run_onnxruntime
from launch.cli import main
from traces.reader import Trace

CONFIGS = Path(__file__).parents[2] / "configs"
DIGITS = CONFIGS / "networks" / "digits"


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    loaded: np.ndarray = np.load(DIGITS / "test-images.npy")
    return loaded


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    loaded: np.ndarray = np.load(DIGITS / "test-labels.npy")
    return loaded


def test_the_files_are_small_and_belong_together(images: np.ndarray, labels: np.ndarray) -> None:
    assert sum(path.stat().st_size for path in DIGITS.iterdir()) < 1_000_000
    assert images.shape == (540, 8, 8, 1)
    assert images.dtype == np.uint8
    assert np.bincount(labels, minlength=10) == pytest.approx(np.full(10, 54), abs=2)  # held out class by class
    calibration = np.load(DIGITS / "calibration-images.npy")
    held_out = {image.tobytes() for image in images}
    assert not any(image.tobytes() in held_out for image in calibration)


def test_float_and_int8_networks_classify_what_they_have_not_seen(images: np.ndarray, labels: np.ndarray) -> None:
    real = run_float(DIGITS / "digits-float.onnx", images)
    integers = run_onnxruntime(DIGITS / "digits.onnx", images)
    assert (real.argmax(axis=1) == labels).mean() > 0.98
    assert (integers.argmax(axis=1) == labels).mean() > 0.98


@pytest.mark.parametrize("config", ["digits-ideal", "digits-sram"])
def test_exact_crossbars_give_onnxruntimes_outputs(tmp_path: Path, config: str, images: np.ndarray) -> None:
    run = tmp_path / "run"
    assert main(["run", str(CONFIGS / "runs" / f"{config}.yaml"), "-o", str(run), "--plane", "values"]) == 0
    with Trace(run) as trace:
        outputs = trace.outputs()
    assert (outputs == run_onnxruntime(DIGITS / "digits.onnx", images)).all()
