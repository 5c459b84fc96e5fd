"""Compiled operations of the cores against the plain ones, integer for integer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.digital.compiled import add_columns, max_pool_columns, requantize_rows
from emulator.digital.elementwise import add, add_ratios, requantize
from emulator.digital.pool import max_pool
from emulator.digital.quantization import Quantization
from emulator.digital.window import Window

DTYPES = ["uint8", "int8"]


def a_quantization(draw: st.DrawFn, dtype: str) -> Quantization:
    info = np.iinfo(dtype)
    return Quantization(float(np.float32(draw(st.floats(0.01, 0.5)))), draw(st.integers(info.min, info.max)), dtype)


def bounds_of(quantization: Quantization) -> np.ndarray:
    return np.array([quantization.minimum, quantization.maximum, quantization.zero_point], np.float32)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("dtype", DTYPES)
def test_additions_of_all_pairs(dtype: str, data: st.DataObject) -> None:
    qa, qb, out = (a_quantization(data.draw, dtype) for _ in range(3))
    a, b = (each.astype(np.uint8).view(dtype)[..., None] for each in np.indices((256, 256)))
    made = np.zeros((258, 260, 1), dtype)
    ratios = np.array(add_ratios(qa, qb, out), np.float64)
    at = np.array([0, 0, 0, 0, 2, 4])
    add_columns(a, b, at, np.arange(256), 256, ratios, bounds_of(out)[:2], made)
    assert np.array_equal(made[2:, 4:], add(a, b, qa, qb, out))
    assert not made[:2].any()
    assert not made[:, :4].any()


@settings(max_examples=60, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("dtype", DTYPES)
def test_requantisation(dtype: str, data: st.DataObject) -> None:
    draw = data.draw
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    out = a_quantization(draw, dtype)
    n_pixels, width, height = draw(st.integers(1, 3)), draw(st.integers(1, 7)), draw(st.integers(1, 4))
    n_channels, channel = draw(st.integers(1, 20)), draw(st.integers(0, 3))
    groups = np.array(sorted(draw(st.sets(st.integers(0, (width - 1) // n_pixels), min_size=1))))
    sums = rng.integers(-100_000, 100_000, (height * len(groups), n_pixels * n_channels)).astype(np.int32)
    offset = rng.integers(-1000, 1000, n_channels).astype(np.int32)
    multiplier = rng.uniform(1e-5, 1e-2, n_channels).astype(np.float32)
    made = np.zeros((height + 1, width + 2, channel + n_channels), dtype)
    first = draw(st.integers(0, len(sums) - 1))
    place = made, 1, 2, width, channel
    requantize_rows(sums[first:], offset, multiplier, first, groups * n_pixels, n_pixels, bounds_of(out), *place)
    expected = np.zeros_like(made)
    for number in range(first, len(sums)):
        row, group = divmod(number, len(groups))
        for pixel in range(n_pixels):
            column = groups[group] * n_pixels + pixel
            if column < width:
                own = sums[number, pixel * n_channels : (pixel + 1) * n_channels]
                expected[row + 1, column + 2, channel:] = requantize(own + offset, multiplier, out)
    assert np.array_equal(made, expected)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("dtype", DTYPES)
def test_maximum_pools(dtype: str, data: st.DataObject) -> None:
    draw = data.draw
    kernel_h, kernel_w = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    pads = [draw(st.integers(0, kernel - 1)) for kernel in (kernel_h, kernel_w, kernel_h, kernel_w)]
    window = Window(kernel_h, kernel_w, draw(st.integers(1, 3)), draw(st.integers(1, 3)), *pads)
    height, width = draw(st.integers(kernel_h, 9)), draw(st.integers(kernel_w, 9))
    x = (
        np.random.default_rng(draw(st.integers(0, 99)))
        .integers(0, 256, (height, width, 5))
        .astype(np.uint8)
        .view(dtype)
    )
    out_height, out_width = window.output_size(height, width)
    columns = np.array(sorted(draw(st.sets(st.integers(0, out_width - 1), min_size=1))))
    buffer = np.pad(x, ((1, 0), (2, 1), (0, 0)), constant_values=np.iinfo(dtype).max)  # must not be looked at
    made = np.zeros((out_height, out_width, 5), dtype)
    shape = np.array([kernel_h, kernel_w, window.stride_h, window.stride_w, window.pad_top, window.pad_left])
    sizes = np.array([height, width, out_height])
    max_pool_columns(buffer, np.array([1, 2, 0, 0]), columns, shape, sizes, made)
    assert np.array_equal(made[:, columns], max_pool(x, window)[:, columns])
