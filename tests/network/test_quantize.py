import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emulator.errors import InputError
from emulator.network.quantize import quantize_onnx
from emulator.network.zoo import build_network, save_model


@pytest.fixture
def float_model(tmp_path: Path) -> Path:
    save_model(build_network("resnet8", 32, 32, n_classes=10, seed=5), tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def test_quantising_twice_gives_the_same_bytes_and_touches_nothing_else(
    float_model: Path, tmp_path: Path, random_images: Callable[..., Any]
) -> None:
    before = float_model.read_bytes()
    for name in ("first.onnx", "second.onnx"):
        quantize_onnx(float_model, random_images(3, 32, 32), tmp_path / name)
    assert (tmp_path / "first.onnx").read_bytes() == (tmp_path / "second.onnx").read_bytes()
    assert float_model.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.onnx", "model.onnx", "second.onnx"]


def test_quantising_is_quiet_and_leaves_the_log_level(
    float_model: Path,
    tmp_path: Path,
    random_images: Callable[..., Any],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    level = logging.getLogger().level
    quantize_onnx(float_model, random_images(1, 32, 32), tmp_path / "out.onnx")
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []
    assert logging.getLogger().level == level


def test_images_of_the_wrong_size_are_refused_with_the_model_named(
    float_model: Path, tmp_path: Path, random_images: Callable[..., Any]
) -> None:
    with pytest.raises(InputError, match=r"model\.onnx: expected images of 32 x 32 with 3 channels, got 16 x 16"):
        quantize_onnx(float_model, random_images(1, 16, 16), tmp_path / "out.onnx")
