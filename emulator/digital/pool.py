"""Pooling by the cores, rounded as onnxruntime's 8-bit CPU kernels do.

Every channel is treated alike, so the functions work on any slice of the channels of a whole feature map.
"""

import numpy as np
from numpy.typing import NDArray

from emulator.digital.elementwise import requantize
from emulator.digital.quantization import Quantization, Quantized, dequantize
from emulator.digital.window import Window, padded, patches

Columns = slice | NDArray[np.intp]
ALL = slice(None)


def max_pool(x: Quantized, window: Window, columns: Columns = ALL) -> Quantized:
    """Take the maximum in each window; padding never wins.

    Args:
        x: (height, width, channels) integers.
        window: kernel, stride and padding.
        columns: make only these columns of the output.

    Returns:
        (out height, columns made, channels), same type and quantisation as ``x``.
    """
    view = patches(padded(x, window, np.iinfo(x.dtype).min), window)[:, columns]
    out = view[:, :, 0, 0].copy()
    for row in range(window.kernel_h):
        for column in range(window.kernel_w):
            np.maximum(out, view[:, :, row, column], out=out)
    return out


def avg_pool(
    x: Quantized, window: Window, q_in: Quantization, q_out: Quantization, columns: Columns = ALL
) -> Quantized:  # fmt: skip
    """Average each window over the pixels that are not padding.

    onnxruntime has two kernels with different rounding: one for windows that cover the whole input, which sums integers
    (QLinearGlobalAveragePool), and one for all others, which sums real numbers (QLinearAveragePool).

    Args:
        x: (height, width, channels) integers of a whole feature map.
        window: kernel, stride and padding; padding counts neither in the sum nor in the number of pixels.
        q_in: quantisation of ``x``.
        q_out: quantisation of the result.
        columns: make only these columns of the output.

    Returns:
        (out height, columns made, channels) integers of ``q_out.dtype``.
    """
    height, width = x.shape[:2]
    if (window.kernel_h, window.kernel_w) == (height, width) and not window.is_padded:
        return _whole_average(x, q_in, q_out)
    return _window_average(x, window, q_in, q_out, columns)


def _whole_average(x: Quantized, q_in: Quantization, q_out: Quantization) -> Quantized:
    """Average all pixels: the sum of integers, scaled once."""
    n_pixels = x.shape[0] * x.shape[1]
    total = x.sum(axis=(0, 1), dtype=np.int32, keepdims=True) - np.int32(q_in.zero_point * n_pixels)
    multiplier = np.float32(q_in.scale) / np.float32(np.float32(q_out.scale) * np.float32(n_pixels))
    return requantize(total, np.asarray(multiplier), q_out)


def _window_average(
    x: Quantized, window: Window, q_in: Quantization, q_out: Quantization, columns: Columns
) -> Quantized:  # fmt: skip
    """Average windows in float32: sum in kernel order, divide by the number of pixels, then by the scale."""
    view = patches(padded(dequantize(x, q_in), window, 0), window)[:, columns]
    total = np.zeros(view.shape[:2] + view.shape[-1:], np.float32)
    for row in range(window.kernel_h):
        for column in range(window.kernel_w):
            total += view[:, :, row, column]
    mean = total / _pixels_in_window(x.shape[0], x.shape[1], window)[:, columns]
    shifted = mean / np.float32(q_out.scale) + np.float32(q_out.zero_point)
    out: Quantized = np.rint(np.clip(shifted, q_out.minimum, q_out.maximum)).astype(q_out.dtype)
    return out


def _pixels_in_window(height: int, width: int, window: Window) -> NDArray[np.float32]:
    """Count the pixels of each window that are not padding: (out height, out width, 1)."""
    inside = padded(np.ones((height, width, 1), np.float32), window, 0)
    counts: NDArray[np.float32] = patches(inside, window).sum(axis=(2, 3), dtype=np.float32)
    return counts
