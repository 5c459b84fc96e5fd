"""Arrays that begin at a cache line.

numpy's begin anywhere between two lines. Vector loads and stores then cross a line again and again, and the value plane
is up to a sixth slower, by chance from one process to the next.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_LINE_BYTES = 64


def aligned_zeros(shape: int | Sequence[int], dtype: DTypeLike) -> NDArray[Any]:
    """Return zeros, contiguous and writable."""
    n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    room = np.zeros(n_bytes + _LINE_BYTES, np.uint8)
    start = -room.ctypes.data % _LINE_BYTES
    return room[start : start + n_bytes].view(dtype).reshape(shape)


def aligned_copy(array: NDArray[Any]) -> NDArray[Any]:
    """Return a copy, contiguous and writable whatever ``array`` is."""
    copy = aligned_zeros(array.shape, array.dtype)
    copy[...] = array
    return copy
