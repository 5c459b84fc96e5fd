"""The cores' busiest operations compiled: the same integers as ``elementwise`` and ``pool``, from buffer to buffer.

A feature map lies in a C-contiguous (height, width, channels) buffer with room for padding around it; ``top`` and
``left`` say where its first pixel is. All functions make some columns of the output, over its full height.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from emulator.digital.quantization import Quantized


@njit(cache=True, nogil=True)
def requantize_rows(
    sums: NDArray[np.int32], offset: NDArray[np.int32], multiplier: NDArray[np.float32], first: int,
    columns: NDArray[np.int64], n_pixels: int, bounds: NDArray[np.float32], out: Quantized, top: int, left: int,
    width: int, channel: int,
) -> None:  # fmt: skip
    """Requantise accumulators and put them where they belong in the output feature map.

    Args:
        sums: (n, n_pixels * channels made), one row per position.
        offset: (channels made,), added to each accumulator.
        multiplier: (channels made,).
        first: number of the first position, counted row by row of the output.
        columns: column of the output where each position of a row begins.
        n_pixels: neighbouring pixels that one position makes; those behind the output's edge are dropped.
        bounds: lower bound, upper bound, zero point of the output.
        out: the output's buffer.
        top: row of the output's first pixel in ``out``.
        left: column of it.
        width: of the output.
        channel: the first channel made.
    """
    lower, upper, zero_point = bounds[0] - bounds[2], bounds[1] - bounds[2], np.int32(bounds[2])
    n_channels = len(offset)
    for i in range(len(sums)):
        row = (first + i) // len(columns)
        column = columns[first + i - row * len(columns)]
        for pixel in range(min(n_pixels, width - column)):
            made = out[top + row, left + column + pixel, channel : channel + n_channels]
            own = sums[i, pixel * n_channels : (pixel + 1) * n_channels]
            for c in range(n_channels):
                scaled = np.float32(np.int32(own[c] + offset[c])) * multiplier[c]
                made[c] = np.int32(np.rint(min(max(scaled, lower), upper))) + zero_point


@njit(cache=True, nogil=True)
def add_columns(
    a: Quantized, b: Quantized, at: NDArray[np.int64], columns: NDArray[np.int64], height: int,
    ratios: NDArray[np.float64], bounds: NDArray[np.float32], out: Quantized,
) -> None:  # fmt: skip
    """Add two feature maps, ``round(clip((fixed + b * ratio_b) + a * ratio_a))`` with two fused multiply-adds.

    Args:
        a: buffer of the first operand.
        b: buffer of the second.
        at: top and left of ``a``, of ``b`` and of ``out``, (6,).
        columns: which columns to make.
        height: of the feature maps.
        ratios: ratio of ``a``, ratio of ``b``, fixed: float32 values.
        bounds: lower bound and upper bound of the output.
        out: the output's buffer.
    """
    n_channels = out.shape[2]
    for row in range(height):
        for column in columns:
            from_a, from_b = a[at[0] + row, at[1] + column], b[at[2] + row, at[3] + column]
            made = out[at[4] + row, at[5] + column]
            for c in range(n_channels):
                # The 32-bit products are exact in float64, so each sum is rounded to float32 once, as if fused.
                inner = np.float32(from_b[c] * ratios[1] + ratios[2])
                total = np.float32(from_a[c] * ratios[0] + np.float64(inner))
                made[c] = np.int32(np.rint(min(max(total, bounds[0]), bounds[1])))


@njit(cache=True, nogil=True)
def max_pool_columns(
    x: Quantized, at: NDArray[np.int64], columns: NDArray[np.int64], window: NDArray[np.int64],
    sizes: NDArray[np.int64], out: Quantized,
) -> None:  # fmt: skip
    """Take the maximum in each window; pixels outside the feature map are left out.

    Args:
        x: buffer of the input.
        at: top and left of ``x`` and of ``out``, (4,).
        columns: which columns of the output to make.
        window: kernel height and width, stride down and across, padding at the top and left, (6,).
        sizes: height and width of the input, height of the output, (3,).
        out: the output's buffer.
    """
    n_channels = out.shape[2]
    left = max(columns.min() * window[3] - window[5], 0)
    right = min(columns.max() * window[3] - window[5] + window[1], sizes[1])
    pixels = x.reshape(-1)
    tallest = np.empty((right - left) * n_channels, x.dtype)  # over the rows of a window; long loops make wide vectors
    for row in range(sizes[2]):
        y = row * window[2] - window[4]
        first = max(y, 0)
        for down in range(first, min(y + window[0], sizes[0])):
            start = ((at[0] + down) * x.shape[1] + at[1] + left) * n_channels
            _maximum(tallest, pixels[start : start + len(tallest)], down == first)
        for column in columns:
            x0 = column * window[3] - window[5]
            made = out[at[2] + row, at[3] + column]
            first = max(x0, 0)
            for across in range(first, min(x0 + window[1], sizes[1])):
                start = (across - left) * n_channels
                _maximum(made, tallest[start : start + n_channels], across == first)


@njit(cache=True, nogil=True)
def _maximum(made: NDArray[np.integer], seen: NDArray[np.integer], is_first: bool) -> None:  # noqa: FBT001
    """Take the larger of each two, or what is seen if it ``is_first``."""
    if is_first:
        for i in range(len(made)):
            made[i] = seen[i]
    else:
        for i in range(len(made)):
            made[i] = max(made[i], seen[i])
