"""The digits network: what is in the repository, and that it is computed exactly where crossbars are ideal."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from emulator.network.ort import run_float, run_onnxruntime
from launch.cli import main
from traces.reader import Trace

CONFIGS = Path(__file__).parents[2] / "configs"
DIGITS = CONFIGS / "networks" / "digits"
COPIES = {"/0/Conv": {"copies": 4}, "/3/main/main.0/Conv": {"copies": 2, "pixels_per_mvm": 2, "tile_width": 2}}


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


@pytest.mark.parametrize(
    ("config", "policy", "n_ranks"),
    [
        ("digits-ideal", {}, 1),
        ("digits-ideal", {}, 3),
        ("digits-ideal", {"layers": COPIES}, 2),
        ("digits-ideal", {"layers": COPIES, "sharing": "strips", "reduction": {"fan_in": 2}}, 1),
        ("digits-sram", {}, 1),
    ],
)
def test_exact_crossbars_give_onnxruntimes_outputs(
    tmp_path: Path, config: str, policy: dict[str, Any], n_ranks: int, images: np.ndarray
) -> None:
    text = (CONFIGS / "runs" / f"{config}.yaml").read_text(encoding="utf-8")
    file, run = tmp_path / "run.yaml", tmp_path / "run"
    naive = yaml.safe_load((CONFIGS / "policies" / "naive.yaml").read_text(encoding="utf-8"))
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(naive | policy), encoding="utf-8")
    text = text.replace("../policies/naive.yaml", "policy.yaml").replace("../", f"{CONFIGS}/")
    file.write_text(text, encoding="utf-8")
    assert main(["run", str(file), "-o", str(run), "--plane", "values", "-n", str(n_ranks)]) == 0
    with Trace(run) as trace:
        outputs = trace.outputs()
    assert (outputs == run_onnxruntime(DIGITS / "digits.onnx", images)).all()
