"""Lengths of sets of intervals, exactly."""

import numpy as np
from numpy.typing import NDArray


def union_ps(start_ps: NDArray[np.int64], end_ps: NDArray[np.int64]) -> int:
    """Return the length of the union of intervals, which may come in any order and overlap."""
    if not len(start_ps):
        return 0
    if (start_ps[1:] < start_ps[:-1]).any():
        order = np.argsort(start_ps, kind="stable")
        start_ps, end_ps = start_ps[order], end_ps[order]
    reached_ps = np.maximum.accumulate(end_ps)
    gained_ps = reached_ps[1:] - np.maximum(start_ps[1:], reached_ps[:-1])
    return int(end_ps[0] - start_ps[0] + np.maximum(gained_ps, 0).sum())
