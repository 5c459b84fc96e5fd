"""Arrays at cache lines."""

import numpy as np
import pytest

from emulator.memory import aligned_copy, aligned_zeros


@pytest.mark.parametrize("shape", [1, 7, (3, 5), (2, 3, 129)])
@pytest.mark.parametrize("dtype", ["uint8", "int32", "float64"])
def test_zeros_begin_at_a_cache_line(shape: int | tuple[int, ...], dtype: str) -> None:
    for _ in range(5):
        array = aligned_zeros(shape, dtype)
        assert array.ctypes.data % 64 == 0
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert np.array_equal(array, np.zeros(shape, dtype))
        assert array.dtype == dtype


def test_a_copy_is_contiguous_and_its_own() -> None:
    original = np.arange(24, dtype=np.int16).reshape(4, 6)[:, ::2]
    original.setflags(write=False)
    copy = aligned_copy(original)
    assert np.array_equal(copy, original)
    copy[0, 0] = 99
    assert original[0, 0] == 0
    assert copy.ctypes.data % 64 == 0
