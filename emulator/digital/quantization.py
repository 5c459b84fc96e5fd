"""Affine 8-bit quantisation and the conversions between real numbers and integers, rounded as onnxruntime does."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Quantized = NDArray[Any]  # uint8 or int8, as the feature map's quantisation says


@dataclass(frozen=True, slots=True)
class Quantization:
    """Affine quantisation ``real = scale * (integer - zero_point)`` of a feature map.

    ``dtype`` is "uint8" or "int8"; ``scale`` holds exactly a float32 value.
    """

    scale: float
    zero_point: int
    dtype: str

    @property
    def minimum(self) -> int:
        """The smallest integer."""
        return int(np.iinfo(self.dtype).min)

    @property
    def maximum(self) -> int:
        """The largest integer."""
        return int(np.iinfo(self.dtype).max)


def quantize(real: NDArray[np.float32], out: Quantization) -> Quantized:
    """Quantise real numbers like onnxruntime's QuantizeLinear: divide, round half to even, add the zero point, clip.

    Args:
        real: float32, any shape.
        out: the quantisation of the result.

    Returns:
        Integers of ``out.dtype``, same shape.
    """
    return round_and_clip(real / np.float32(out.scale), out)


def dequantize(integers: Quantized, quantization: Quantization) -> NDArray[np.float32]:
    """Turn integers into float32 real numbers like onnxruntime's DequantizeLinear."""
    centered = integers.astype(np.int32) - quantization.zero_point
    return centered.astype(np.float32) * np.float32(quantization.scale)


def round_and_clip(scaled: NDArray[np.float32], out: Quantization) -> Quantized:
    """Clip real numbers in units of the result, round half to even, and add the zero point."""
    clipped = np.clip(scaled, np.float32(out.minimum - out.zero_point), np.float32(out.maximum - out.zero_point))
    return (np.rint(clipped).astype(np.int32) + out.zero_point).astype(out.dtype)
