"""MessagePack with arrays: what goes in comes out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_np

from emulator.errors import ParallelError
from emulator.parallel.wire import content_hash, pack, unpack

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(0, 99), inner, max_size=4),
    max_leaves=12,
)


@given(PLAIN)
def test_plain_values_come_back(value: object) -> None:
    assert unpack(pack(value)) == value


@given(st_np.arrays(st_np.integer_dtypes() | st_np.floating_dtypes(), st_np.array_shapes(min_dims=0, min_side=0)))
def test_arrays_come_back_with_type_and_shape(array: np.ndarray) -> None:  # type: ignore[type-arg]
    back = unpack(pack({"x": [array]}))["x"][0]
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert back.tobytes() == array.tobytes()
    assert back.flags.writeable


def test_cut_off_messages_are_refused() -> None:
    with pytest.raises(ParallelError, match="cannot be decoded"):
        unpack(pack(list(range(100)))[:-3])


def test_a_damaged_array_header_is_refused() -> None:
    with pytest.raises(ParallelError, match="cannot be decoded"):
        unpack(pack(np.zeros(3)).replace(b"<f8", b"???"))


@pytest.mark.parametrize("array", [np.array([{}], object), np.zeros(2, [("a", "i4")]), np.array(["text"])])
def test_arrays_that_are_more_than_their_bytes_are_refused(array: np.ndarray) -> None:  # type: ignore[type-arg]
    with pytest.raises(TypeError, match="cannot pack an array of"):
        pack(array)


def test_what_has_no_encoding_is_refused() -> None:
    with pytest.raises(TypeError, match="cannot pack a set"):
        pack({1, 2})


def test_the_content_hash_is_sha256() -> None:
    assert content_hash(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
