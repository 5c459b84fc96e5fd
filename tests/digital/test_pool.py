from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from emulator.digital.ops import avg_pool, max_pool
from emulator.digital.quantization import Quantization
from emulator.digital.window import Window

Pool = tuple[NDArray[Any], Window, Quantization, Quantization]


@st.composite
def pools(draw: st.DrawFn) -> Pool:
    """A feature map with its quantisation, and a window whose padding is smaller than its kernel."""
    dtype = draw(st.sampled_from(["uint8", "int8"]))
    limits = np.iinfo(dtype)
    kernel_h, kernel_w = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    pads = [draw(st.integers(0, kernel - 1)) for kernel in (kernel_h, kernel_w, kernel_h, kernel_w)]
    window = Window(kernel_h, kernel_w, draw(st.integers(1, 3)), draw(st.integers(1, 3)), *pads)
    shape = draw(st.integers(kernel_h, 9)), draw(st.integers(kernel_w, 9)), draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x = rng.integers(limits.min, limits.max + 1, shape).astype(dtype)
    scales = [draw(st.floats(0.015625, 0.125, width=32)) for _ in range(2)]
    q_in, q_out = (Quantization(s, draw(st.integers(limits.min, limits.max)), dtype) for s in scales)
    return x, window, q_in, q_out


def onnx_window(window: Window) -> dict[str, list[int]]:
    return {
        "kernel_shape": [window.kernel_h, window.kernel_w],
        "strides": [window.stride_h, window.stride_w],
        "pads": [window.pad_top, window.pad_left, window.pad_bottom, window.pad_right],
    }


@settings(max_examples=80, deadline=None)
@given(pool=pools())
def test_max_pool_equals_onnxruntime(pool: Pool, run_operator: Callable[..., Any]) -> None:
    x, window, q_in, _ = pool
    expected = run_operator("MaxPool", [x], [q_in], q_in, **onnx_window(window))
    np.testing.assert_array_equal(max_pool(x, window), expected)


@settings(max_examples=120, deadline=None)
@given(pool=pools())
def test_avg_pool_equals_onnxruntime(pool: Pool, run_operator: Callable[..., Any]) -> None:
    x, window, q_in, q_out = pool
    expected = run_operator("AveragePool", [x], [q_in], q_out, **onnx_window(window))
    np.testing.assert_array_equal(avg_pool(x, window, q_in, q_out), expected)


@settings(max_examples=60, deadline=None)
@given(pool=pools())
def test_global_avg_pool_equals_onnxruntime(pool: Pool, run_operator: Callable[..., Any]) -> None:
    x, _, q_in, q_out = pool
    expected = run_operator("GlobalAveragePool", [x], [q_in], q_out)
    np.testing.assert_array_equal(avg_pool(x, Window(*x.shape[:2]), q_in, q_out), expected)


@settings(max_examples=60, deadline=None)
@given(pool=pools(), first=st.integers(0, 8), count=st.integers(1, 9))
def test_pools_work_on_any_slice_of_channels(pool: Pool, first: int, count: int) -> None:
    x, window, q_in, q_out = pool
    part = slice(first % x.shape[2], first % x.shape[2] + count)
    np.testing.assert_array_equal(max_pool(x[:, :, part], window), max_pool(x, window)[:, :, part])
    whole = avg_pool(x, window, q_in, q_out)
    np.testing.assert_array_equal(avg_pool(x[:, :, part], window, q_in, q_out), whole[:, :, part])


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_padding_never_wins_a_maximum(dtype: str) -> None:
    lowest = np.full((2, 2, 1), np.iinfo(dtype).min, dtype)
    assert (max_pool(lowest, Window(3, 3, 1, 1, 1, 1, 1, 1)) == np.iinfo(dtype).min).all()


def test_average_leaves_padding_out_of_the_count() -> None:
    quantization = Quantization(1.0, 0, "uint8")
    ones = np.full((3, 3, 1), 7, np.uint8)
    assert (avg_pool(ones, Window(3, 3, 1, 1, 1, 1, 1, 1), quantization, quantization) == 7).all()
