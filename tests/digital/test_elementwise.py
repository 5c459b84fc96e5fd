from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from emulator.digital.ops import add, relu, requantize
from emulator.digital.quantization import Quantization, dequantize, quantize

DTYPES = ["uint8", "int8"]
MULTIPLIERS = st.floats(2.0**-20, 2.0, width=32)


def every_integer(dtype: str) -> NDArray[Any]:
    return np.arange(np.iinfo(dtype).min, np.iinfo(dtype).max + 1).astype(dtype)


def random_quantization(rng: np.random.Generator, dtype: str) -> Quantization:
    limits = np.iinfo(dtype)
    scale = float(np.float32(0.02 * np.exp(rng.normal())))
    return Quantization(scale, int(rng.integers(limits.min, limits.max + 1)), dtype)


def round_half_to_even(number: Fraction) -> int:
    return round(number)  # Fraction rounds half to even, exactly


@settings(max_examples=200, deadline=None)
@given(st.integers(-(2**23), 2**23), MULTIPLIERS, st.sampled_from(DTYPES), st.data())
def test_requantize_equals_exact_arithmetic(
    accumulator: int, multiplier: float, dtype: str, data: st.DataObject
) -> None:
    limits = np.iinfo(dtype)
    out = Quantization(0.5, data.draw(st.integers(limits.min, limits.max)), dtype)
    product = Fraction(float(np.float32(accumulator) * np.float32(multiplier)))
    expected = min(max(round_half_to_even(product) + out.zero_point, limits.min), limits.max)
    got = requantize(np.array([accumulator], np.int32), np.array([multiplier], np.float32), out)
    assert got.dtype == dtype
    assert got.tolist() == [expected]


def test_requantize_rounds_ties_to_the_even_number_before_the_zero_point() -> None:
    out = Quantization(1.0, 3, "uint8")
    accumulator = np.array([-3, -1, 1, 3, 5], np.int32)
    assert requantize(accumulator, np.full(5, 0.5, np.float32), out).tolist() == [1, 3, 3, 5, 5]


def test_requantize_has_one_multiplier_for_each_channel() -> None:
    out = Quantization(1.0, 0, "int8")
    accumulator = np.full((2, 2, 3), 100, np.int32)
    got = requantize(accumulator, np.array([0.1, 1.0, 10.0], np.float32), out)
    assert got.shape == (2, 2, 3)
    assert got[1, 0].tolist() == [10, 100, 127]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", range(12))
def test_add_equals_onnxruntime_for_all_pairs(dtype: str, seed: int, run_operator: Callable[..., Any]) -> None:
    rng = np.random.default_rng(seed)
    qa, qb, out = (random_quantization(rng, dtype) for _ in range(3))
    a, b = (grid.reshape(16, 16, 256) for grid in np.meshgrid(every_integer(dtype), every_integer(dtype)))
    np.testing.assert_array_equal(add(a, b, qa, qb, out), run_operator("Add", [a, b], [qa, qb], out))


@pytest.mark.parametrize("size", [(1, 1, 1), (3, 5, 7), (1, 2, 31)])
def test_add_of_odd_sizes_equals_onnxruntime(size: tuple[int, int, int], run_operator: Callable[..., Any]) -> None:
    rng = np.random.default_rng(9)
    for _ in range(10):
        qa, qb, out = (random_quantization(rng, "uint8") for _ in range(3))
        a, b = (rng.integers(0, 256, size).astype(np.uint8) for _ in range(2))
        np.testing.assert_array_equal(add(a, b, qa, qb, out), run_operator("Add", [a, b], [qa, qb], out))


@pytest.mark.parametrize("dtype", DTYPES)
def test_relu_equals_onnxruntime_for_all_integers(dtype: str, run_operator: Callable[..., Any]) -> None:
    x = every_integer(dtype).reshape(16, 16, 1)
    rng = np.random.default_rng(4)
    for _ in range(15):
        q_in, out = random_quantization(rng, dtype), random_quantization(rng, dtype)
        np.testing.assert_array_equal(relu(x, q_in, out), run_operator("Relu", [x], [q_in], out))


@pytest.mark.parametrize("dtype", DTYPES)
def test_quantize_undoes_dequantize(dtype: str) -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        quantization = random_quantization(rng, dtype)
        x = every_integer(dtype)
        np.testing.assert_array_equal(quantize(dequantize(x, quantization), quantization), x)


def test_quantize_saturates() -> None:
    out = Quantization(0.25, 10, "uint8")
    assert quantize(np.array([-1e9, -2.5, 0, 1, 1e9], np.float32), out).tolist() == [0, 0, 10, 14, 255]
