"""Converters: steps, rounding, non-linearity."""

import numpy as np
import pytest

from emulator.analog.converters import adc_steps, dac_rounding, largest_code, nonlinearity


@pytest.mark.parametrize("bits", [2, 4, 8, 12])
def test_the_largest_sum_falls_on_the_largest_code(bits: int) -> None:
    sums = np.array([[1.0, 37.5, 1e6]])
    assert np.rint(sums / adc_steps(sums, np.array([2e6]), bits)).tolist() == [[2 ** (bits - 1) - 1] * 3]


def test_a_column_without_a_range_gets_the_widest_of_its_slice() -> None:
    sums = np.array([[0.0, 254.0, 127.0], [127.0, 0.0, 0.0]])
    assert adc_steps(sums, np.array([1e4, 1e4]), 8) == pytest.approx(np.array([[2, 2, 1], [1, 1, 1]]))


def test_a_slice_without_a_range_gets_as_much_of_its_full_scale_as_the_widest() -> None:
    sums = np.array([[0.0, 0.0], [127.0, 254.0], [0.0, 127.0]])
    steps = adc_steps(sums, np.array([1270.0, 2540.0, 2540.0]), 8)
    assert steps == pytest.approx(np.array([[1, 1], [1, 2], [1, 1]]))
    nothing = np.zeros((2, 3))
    assert adc_steps(nothing, np.array([127.0, 254.0]), 8) == pytest.approx(np.array([[1] * 3, [2] * 3]))


def test_a_dac_of_six_bits_delivers_multiples_of_four() -> None:
    outputs = dac_rounding(6, "uint8")
    assert outputs.dtype == np.uint8
    assert set(outputs.tolist()) == set(range(0, 253, 4))
    assert np.abs(outputs.astype(int) - np.arange(256))[:254].max() == 2
    assert outputs[255] == 252


def test_a_signed_dac_keeps_the_sign_and_is_indexed_by_bits() -> None:
    outputs = dac_rounding(4, "int8")
    assert outputs.dtype == np.int8
    for value in (-128, -9, -1, 0, 7, 8, 127):
        nearest = outputs[np.array(value, np.int8).view(np.uint8)]
        assert nearest % 16 == 0
        assert abs(int(nearest) - value) <= (8 if value < 120 else 15)


def test_eight_bits_pass_through() -> None:
    assert dac_rounding(8, "uint8").tolist() == list(range(256))


def test_nonlinearity_vanishes_at_the_ends_and_reaches_its_amplitudes_in_between() -> None:
    bow, s_shape = curves(nonlinearity(np.array([[2.0, 0.0], [0.0, 3.0]]), np.sqrt(2)), 10).T
    assert bow[[0, -1]] == pytest.approx([0, 0], abs=1e-6)
    assert s_shape[[0, -1]] == pytest.approx([0, 0], abs=1e-6)
    assert bow.max() == pytest.approx(2.0)
    assert bow.argmax() == largest_code(10)
    assert np.abs(s_shape).max() == pytest.approx(3.0, rel=1e-4)
    assert s_shape == pytest.approx(-s_shape[::-1], abs=1e-6)


def test_the_largest_deviation_over_the_codes_is_what_was_asked_for_in_the_mean_over_columns() -> None:
    n_columns, asked_lsb = 20_000, 0.5
    coefficients = nonlinearity(np.random.default_rng(3).standard_normal((2, n_columns)), asked_lsb)
    largest = np.abs(curves(coefficients, 8)).max(axis=0)
    # Closed form: the deviation is level where s - 2 bow u - 3 s u**2 = 0.
    bow, s = coefficients.astype(np.float64)
    extrema = np.stack([(-bow + sign * np.sqrt(bow**2 + 3 * s**2)) / (3 * s) for sign in (-1, 1)])
    peaks = np.where(np.abs(extrema) < 1, np.abs((1 - extrema**2) * (bow + s * extrema)), 0).max(axis=0)
    assert largest == pytest.approx(peaks, rel=1e-3)
    assert largest.mean() == pytest.approx(1.01 * asked_lsb, abs=5 * largest.std() / np.sqrt(n_columns))


def curves(coefficients: np.ndarray, adc_bits: int) -> np.ndarray:
    """Return the deviation at every code, (codes, columns), written out as powers."""
    u = np.linspace(-1, 1, 2 * largest_code(adc_bits) + 1)[:, np.newaxis]
    bow, s = coefficients.astype(np.float64)
    return bow * (1 - u**2) + s * (u - u**3)
