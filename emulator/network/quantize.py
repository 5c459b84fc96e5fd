"""Quantise a floating-point ONNX model with onnxruntime's static quantiser and calibration images."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from emulator.errors import EmulatorError, InputError, NetworkError
from emulator.network.inputs import how_to_fit
from emulator.network.preprocess import PIXELS_OVER_255, Preprocessing, to_nchw, to_tensor


def quantize_onnx(
    float_model_path: Path,
    images: NDArray[np.uint8],
    out_path: Path,
    preprocessing: Preprocessing = PIXELS_OVER_255,
) -> None:
    """Quantise a floating-point ONNX model: QDQ form, uint8 activations, int8 weights with one scale per channel.

    Activations are unsigned because onnxruntime then runs every operator of a convolutional network on 8-bit integers;
    with signed ones its default session computes some convolutions in floating point.

    Args:
        float_model_path: the model; it is only read.
        images: uint8, (n, height, width, channels), for calibration (minimum and maximum of every activation).
        out_path: the quantised model; its folder exists.
        preprocessing: how pixels become the model's input.

    Raises:
        InputError: the images do not have the size of the model's input.
        NetworkError: the model takes several images at once, or onnxruntime refuses it.
    """
    with TemporaryDirectory() as folder, _quiet():
        prepared = Path(folder) / "prepared.onnx"
        try:
            quant_pre_process(str(float_model_path), str(prepared))
            name, shape = _input_of(prepared)
            _check_batch(float_model_path, shape)
            _check_size(float_model_path, shape, images)
            _quantize(prepared, out_path, _Images(name, images, preprocessing))
        except EmulatorError:
            raise
        except Exception as error:  # onnxruntime raises bare RuntimeError, ValueError and its own types alike
            raise NetworkError(f"{float_model_path}: onnxruntime cannot quantise the model: {error}") from error


def _quantize(prepared: Path, out_path: Path, reader: CalibrationDataReader) -> None:
    quantize_static(
        str(prepared),
        str(out_path),
        reader,
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )


class _Images(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    """Feeds the calibration one image at a time."""

    def __init__(self, input_name: str, images: NDArray[np.uint8], preprocessing: Preprocessing) -> None:
        tensors = (to_nchw(to_tensor(images[i : i + 1], preprocessing)) for i in range(len(images)))
        self._batches = ({input_name: tensor} for tensor in tensors)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """Return the next image, or None after the last."""
        return next(self._batches, None)


def _input_of(path: Path) -> tuple[str, list[int | str | None]]:
    """Return name and shape of the model's input; sizes that are not fixed are text or None."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    first = session.get_inputs()[0]
    return str(first.name), list(first.shape)


def _check_batch(path: Path, shape: list[int | str | None]) -> None:
    if shape and isinstance(shape[0], int) and shape[0] != 1:
        raise NetworkError(
            f"{path}: the model takes {shape[0]} images at once; export it with a dynamic batch or one of 1"
        )


def _check_size(path: Path, shape: list[int | str | None], images: NDArray[np.uint8]) -> None:
    _, height, width, channels = images.shape
    came = (channels, height, width)
    if len(shape) == 4 and any(
        isinstance(wanted, int) and wanted != size for wanted, size in zip(shape[1:], came, strict=True)
    ):
        wanted_channels, wanted_height, wanted_width = shape[1:]
        raise InputError(
            f"{path}: expected images of {wanted_height} x {wanted_width} with {wanted_channels} channels, got "
            f"{height} x {width} with {channels}; {how_to_fit(channels, wanted_channels)}"
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the quantiser, which logs advice to the root logger, for the time of the call."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
