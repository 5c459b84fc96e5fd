"""Cut the clusters into one contiguous block per rank: balanced work, and cuts where little has to cross."""

import numpy as np
from numpy.typing import NDArray

from emulator.errors import ParallelError

_N_SWEEPS = 3


def partition_clusters(work: NDArray[np.int64], n_ranks: int) -> NDArray[np.int64]:
    """Return the block boundaries, (n_ranks + 1,): rank r owns clusters ``[bounds[r], bounds[r + 1])``.

    The largest block is as small as contiguous blocks allow, and every block has work. Found by bisection on the
    largest block: filling blocks from the left shows whether a limit can be kept.

    Args:
        work: work of each cluster in placement order, any unit, not negative.
        n_ranks: blocks wanted, at least one.

    Raises:
        ParallelError: there are more ranks than clusters with work.
    """
    busy = np.flatnonzero(work)
    if n_ranks > len(busy):
        raise ParallelError(
            f"{n_ranks} ranks were started, but the mapping uses only {len(busy)} clusters; start at most {len(busy)}"
        )
    loads = work[busy]
    total = np.concatenate(([0], np.cumsum(loads)))
    low, high = int(loads.max()), int(total[-1])
    while low < high:
        limit = (low + high) // 2
        if len(_fill(total, limit, n_ranks)) <= n_ranks:
            high = limit
        else:
            low = limit + 1
    ends = _fill(total, low, n_ranks)
    # ends holds one past the last busy cluster of each block; idle clusters go with the block before them.
    bounds = [0, *(int(busy[end]) for end in ends[:-1]), len(work)]
    return np.array(bounds, np.int64)


def move_cuts(
    bounds: NDArray[np.int64], work: NDArray[np.int64], traffic: NDArray[np.int64], reach: float
) -> NDArray[np.int64]:
    """Move the cuts of balanced blocks, one after the other, to where the busier neighbor has the least to do.

    Args:
        bounds: (n_ranks + 1,), from ``partition_clusters``.
        work: (n_clusters,), of each cluster, not negative.
        traffic: (n_clusters + 1,), what a cut before each cluster costs either side, in the unit of work.
        reach: how far a cut moves at most, as a share of an average block's work.
    """
    bounds, n_ranks = bounds.copy(), len(bounds) - 1
    total = np.concatenate(([0], np.cumsum(work)))
    far = reach * total[-1] / n_ranks
    home = total[bounds]
    for _ in range(_N_SWEEPS):
        for i in range(1, n_ranks):
            before, after = bounds[i - 1], bounds[i + 1]
            near = np.arange(before + 1, after)
            near = near[np.abs(total[near] - home[i]) <= far]
            left = total[near] - total[before] + traffic[before]
            right = total[after] - total[near] + traffic[after]
            has_work = (total[near] > total[before]) & (total[near] < total[after])
            load = np.where(has_work, np.maximum(left, right) + traffic[near], np.iinfo(np.int64).max)
            bounds[i] = near[np.argmin(load)]
    return bounds


def _fill(total: NDArray[np.int64], limit: int, n_ranks: int) -> list[int]:
    """Fill blocks from the left up to ``limit``, leaving at least one cluster for every block still to come."""
    ends: list[int] = []
    start, n_clusters = 0, len(total) - 1
    while start < n_clusters:
        end = int(np.searchsorted(total, total[start] + limit, side="right")) - 1
        still_to_come = max(0, n_ranks - len(ends) - 1)
        end = max(start + 1, min(end, n_clusters - still_to_come))
        ends.append(end)
        start = end
    return ends
