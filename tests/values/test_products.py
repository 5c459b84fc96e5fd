"""Products of 8-bit integers are exact, for crossbars of any height, however they are computed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.values import gemm
from emulator.values.gemm import FloatProduct, GemmKind, IntegerProduct, Scratch, integers_are_exact, make_product

KINDS: list[GemmKind] = ["float", *(["integer"] if integers_are_exact() else [])]


@pytest.mark.parametrize("n_rows", [256, 512, 1024, 4096])
@pytest.mark.parametrize("weight", [-128, 127])
@pytest.mark.parametrize("kind", KINDS)
def test_the_largest_sums_are_exact(n_rows: int, weight: int, kind: GemmKind) -> None:
    weights = np.full((n_rows, 2), weight, np.int8)
    weights[0] = [1, 3]
    scratch = Scratch(n_rows * 8)
    product = make_product(kind, weights, scratch)
    scratch.inputs(1, n_rows)[...] = 255
    assert product.multiply(1).tolist() == [[255 * (weight * (n_rows - 1) + first) for first in (1, 3)]]


@settings(max_examples=30, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("kind", KINDS)
def test_products_equal_plain_ones(kind: GemmKind, data: st.DataObject) -> None:
    n_rows, n_columns = data.draw(st.integers(1, 300)), data.draw(st.integers(1, 90))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    weights = rng.integers(-128, 128, (n_rows, n_columns)).astype(np.int8)
    scratch = Scratch(100 * max(n_rows, 8 * n_columns))
    product = make_product(kind, weights, scratch)
    for n in data.draw(st.lists(st.integers(1, 100), min_size=1, max_size=3)):
        inputs = scratch.inputs(n, n_rows)
        inputs[...] = rng.integers(0, 256, inputs.shape)
        expected = inputs.astype(np.int64) @ weights
        assert np.array_equal(product.multiply(n), expected)


def test_a_processor_that_saturates_is_found_out_and_avoided(monkeypatch: pytest.MonkeyPatch) -> None:
    held: dict[tuple[int, ...], np.ndarray] = {}

    def saturating(self: IntegerProduct, n_positions: int) -> np.ndarray:
        """Add pairs of products in 16 bits with saturation, as AVX2's vpmaddubsw does."""
        n_rows, n_columns = self._shape
        rows = np.zeros((n_rows + 1, n_columns), np.int64)
        rows[:-1] = held[self._shape]
        inputs = np.zeros((n_positions, n_rows + 1), np.int64)
        inputs[:, :-1] = self._scratch.inputs(n_positions, n_rows)
        n_even = (n_rows + 1) // 2 * 2
        pairs = inputs[:, :n_even:2, None] * rows[:n_even:2] + inputs[:, 1:n_even:2, None] * rows[1:n_even:2]
        return np.clip(pairs, -32768, 32767).sum(axis=1)

    original = IntegerProduct.__init__

    def remember(self: IntegerProduct, weights: np.ndarray, scratch: Scratch) -> None:
        held[weights.shape] = weights
        original(self, weights, scratch)

    monkeypatch.setattr(IntegerProduct, "__init__", remember)
    monkeypatch.setattr(IntegerProduct, "multiply", saturating)
    assert not integers_are_exact.__wrapped__()
    monkeypatch.setattr(gemm, "integers_are_exact", lambda: False)
    assert isinstance(make_product("auto", np.zeros((4, 4), np.int8), Scratch(64)), FloatProduct)
