"""Where ranks part for the timing plane: blocks of about equal events, cut where the ranks rarely wait for each other.

A burst that crosses a cut makes its target wait for the promise that it comes. Dearer are ports that both sides use:
one side owns such a port, every burst of the other visits it there and comes back, and neither goes on meanwhile. In a
tree those are the ports of the subtrees that a cut goes through, which is why the best cuts lie between subtrees.
"""

import numpy as np
from numpy.typing import NDArray

from emulator.chip.spec import Chip
from emulator.chip.topology import build_topology
from emulator.parallel.partition import move_cuts, partition_clusters
from emulator.program.columns import Columns
from emulator.program.lower import sites_of
from emulator.program.ownership import bursts_of, estimate_events

#: What a burst that crosses costs, and one that visits, in events: fitted to ResNet-18 on two ranks cut at every fourth
#: cluster (tests/benchmarks/bench_ranks.py --resnet 16 --cut N).
_EVENTS_PER_CROSSING = 100
_EVENTS_PER_VISIT = 400
#: Cuts move by at most this share of a block's events.
_REACH = 0.25


def partition_events(columns: Columns, chip: Chip, n_ranks: int) -> NDArray[np.int64]:
    """Return the block boundaries, (n_ranks + 1,): rank r owns clusters ``[bounds[r], bounds[r + 1])``.

    Raises:
        ParallelError: there are more ranks than clusters with events.
    """
    events = estimate_events(columns, chip)
    return move_cuts(partition_clusters(events, n_ranks), events, cost_of_cuts(columns, chip), _REACH)


def cost_of_cuts(columns: Columns, chip: Chip) -> NDArray[np.int64]:
    """Return what a cut before each cluster costs per image, in events, (n_clusters + 1,)."""
    bursts, n = bursts_of(columns, chip), columns.n_clusters
    sites = sites_of(columns)
    producer, consumer = (sites[columns.channels[end]] for end in ("producer", "consumer"))
    # The HBM belongs to the first rank, the drain to the last that sends to it.
    ends = np.sort(np.stack([np.where(site == n, 0, np.minimum(site, n)) for site in (producer, consumer)]), axis=0)
    within = ends[1] < n
    steps = np.zeros(n + 2, np.int64)
    np.add.at(steps, ends[0, within] + 1, bursts[within])
    np.add.at(steps, ends[1, within] + 1, -bursts[within])
    cost = np.cumsum(steps)[: n + 1] * _EVENTS_PER_CROSSING
    for size in build_topology(chip).subtree_sizes:
        for near, far in ((producer, consumer), (consumer, producer)):
            passes = (near < n) & ((far >= n) | (near // size != far // size))
            load = np.bincount(near[passes], weights=bursts[passes], minlength=n).astype(np.int64)
            left = np.cumsum(load.reshape(-1, size), axis=1)
            shared = np.minimum(left, left[:, -1:] - left)  # by a cut behind each cluster
            cost[1:] += shared.ravel() * _EVENTS_PER_VISIT
    return cost
