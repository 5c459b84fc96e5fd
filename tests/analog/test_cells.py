"""Weights as pairs of conductances: exact where there is room, nearest where there is not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.analog.cells import Coding, to_pairs

ALL_WEIGHTS = np.arange(-128, 128).astype(np.int8).reshape(16, 16)


@pytest.mark.parametrize(("cell_bits", "n_slices"), [(8, 1), (4, 2), (2, 4), (1, 8), (3, 3), (5, 2)])
def test_enough_cells_hold_every_weight_exactly(cell_bits: int, n_slices: int) -> None:
    coding = Coding(cell_bits, n_slices)
    digits = coding.digits(ALL_WEIGHTS)
    assert np.abs(digits).max() < 2**cell_bits
    assert (coding.weights(digits.astype(float)) == ALL_WEIGHTS).all()


def test_the_digits_of_a_weight_are_those_of_its_magnitude_with_its_sign() -> None:
    weights = np.array([[0, 1, 16, 127, -128, -37]], np.int8)
    high, low = Coding(4, 2).digits(weights)
    assert high.tolist() == [[0, 0, 1, 7, -8, -2]]
    assert low.tolist() == [[0, 1, 0, 15, 0, -5]]
    assert Coding(4, 2).place_values.tolist() == [16, 1]


def test_too_few_cells_round_to_the_nearest_weight_that_they_hold() -> None:
    coding = Coding(4, 1)
    held = coding.weights(coding.digits(ALL_WEIGHTS).astype(float))
    assert coding.place_values.tolist() == [16]
    assert np.abs(held - ALL_WEIGHTS).max() == 8
    assert sorted(set(held.ravel())) == [16.0 * level for level in range(-8, 9)]


@pytest.mark.parametrize("n_slices", [1, 2, 3])
def test_wider_cells_lose_less(n_slices: int) -> None:
    losses = []
    for cell_bits in range(1, -(-8 // n_slices) + 1):
        coding = Coding(cell_bits, n_slices)
        digits = coding.digits(ALL_WEIGHTS)
        assert 0 <= np.abs(digits).min() <= np.abs(digits).max() < 2**cell_bits
        losses.append(int(np.abs(coding.weights(digits.astype(float)) - ALL_WEIGHTS).max()))
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] == 0
    if n_slices == 1:
        assert losses == [64, 32, 16, 8, 4, 2, 1, 0]  # half a step of the bits dropped


@given(st.sampled_from([(8, 1), (4, 2), (2, 4), (4, 1)]), st.integers(0, 2**32 - 1))
def test_conductances_of_a_pair_give_the_digits_back_and_use_the_whole_range(
    cells: tuple[int, int], seed: int
) -> None:  # fmt: skip
    weights = np.random.default_rng(seed).integers(-128, 128, (9, 5)).astype(np.int8)
    digits = Coding(*cells).digits(weights)
    pairs = to_pairs(digits, 25.0)
    assert pairs.digits == pytest.approx(digits.astype(float), abs=1e-9)
    assert (pairs.conductance_us.min(axis=0) == 0).all()  # one device of each pair is empty
    for slice_conductance, slice_digits in zip(pairs.conductance_us.swapaxes(0, 1), digits, strict=True):
        expected = 25.0 if slice_digits.any() else 0.0
        assert slice_conductance.max() == pytest.approx(expected)


def test_the_largest_weight_of_a_crossbar_gets_the_largest_conductance() -> None:
    pairs = to_pairs(Coding(8, 1).digits(np.array([[50, -25], [0, 10]], np.int8)), 25.0)
    assert pairs.conductance_us[0, 0].tolist() == [[25.0, 0.0], [0.0, 5.0]]
    assert pairs.conductance_us[1, 0].tolist() == [[0.0, 12.5], [0.0, 0.0]]


def test_a_range_of_conductances_starts_at_its_least() -> None:
    weights = np.array([[127, -127, 0, 64]], np.int8)
    pairs = to_pairs(Coding(8, 1).digits(weights), 25.0, 5.0)
    assert pairs.conductance_us[:, 0, 0] == pytest.approx(np.array([[25, 5, 5, 5 + 20 * 64 / 127], [5, 25, 5, 5]]))
    assert pairs.digits[0] == pytest.approx(weights.astype(float))


def test_a_crossbar_of_zeros_has_no_conductance() -> None:
    pairs = to_pairs(Coding(8, 1).digits(np.zeros((3, 3), np.int8)), 25.0)
    assert not pairs.conductance_us.any()
    assert not pairs.digits.any()
