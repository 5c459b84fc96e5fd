"""Where ranks part for the timing plane: what a cut costs, counted burst by burst, and blocks that avoid it."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.networks import a_chip
from support.programs import chain, programs

from emulator.chip.topology import build_topology
from emulator.errors import ParallelError
from emulator.parallel.partition import move_cuts, partition_clusters
from emulator.program.columns import columns_of
from emulator.program.cuts import cost_of_cuts, partition_events
from emulator.program.dataflow import Program
from emulator.program.ownership import bursts_of, estimate_events

CROSSING, VISIT = 100, 400


@settings(max_examples=60)
@given(program=programs(), fan_outs=st.sampled_from([(16,), (4, 4), (2, 2, 2, 2), (2, 8)]))
def test_costs_are_those_of_every_burst_and_every_shared_port(program: Program, fan_outs: tuple[int, ...]) -> None:
    chip = a_chip(rows=8, columns=8, fan_outs=fan_outs)
    columns, n = columns_of(program), chip.n_clusters
    bursts, cost = bursts_of(columns, chip), cost_of_cuts(columns, chip)
    ends = [
        (program.actors[c.producer].site, program.actors[c.consumer].site, int(b))
        for c, b in zip(program.channels, bursts, strict=True)
    ]
    # An actor at the HBM that sends, or takes from one there, is the first rank's; the others form the drain, which
    # lies on the side of a rank that sends to it.
    undrained = {c.producer for c in program.channels}
    undrained |= {c.consumer for c in program.channels if program.actors[c.producer].site == n}
    place = [0 if a.site == n and i in undrained else a.site for i, a in enumerate(program.actors)]
    held = [(place[c.producer], place[c.consumer], int(b)) for c, b in zip(program.channels, bursts, strict=True)]
    for cut in range(n + 1):
        crossing = sum(b for p, c, b in held if min(p, c) < cut <= max(p, c) < n)
        shared = 0
        for size in build_topology(chip).subtree_sizes:
            first = (cut - 1) // size * size
            if cut == 0 or cut % size == 0:
                continue
            for near, far in ((0, 1), (1, 0)):
                out = [e for e in ends if first <= e[near] < first + size and not first <= e[far] < first + size]
                left = sum(e[2] for e in out if e[near] < cut)
                shared += min(left, sum(e[2] for e in out) - left)
        assert cost[cut] == CROSSING * crossing + VISIT * shared


def test_cuts_lie_between_quadrants() -> None:
    """Everything a cluster makes leaves its quadrant of four; of 14 clusters the balanced cut would split one."""
    order = [0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 3, 7, 11]
    program = chain(16, order, [1000] * 14, n_tokens=4, n_bytes=64, capacity=2)
    columns, chip = columns_of(program), a_chip(rows=8, columns=8, fan_outs=(4, 4))
    balanced = partition_clusters(estimate_events(columns, chip), 2)
    assert balanced[1] % 4 != 0
    assert partition_events(columns, chip, 2).tolist() == [0, 8, 16]


@given(st.lists(st.integers(0, 50), min_size=4, max_size=40), st.data())
def test_moved_cuts_keep_every_block_at_work_and_never_make_the_load_worse(
    work: list[int], data: st.DataObject
) -> None:
    busy = sum(load > 0 for load in work)
    if busy == 0:
        return
    n_ranks = data.draw(st.integers(1, min(busy, 5)))
    traffic = np.array(data.draw(st.lists(st.integers(0, 40), min_size=len(work) + 1, max_size=len(work) + 1)))
    before = partition_clusters(np.array(work), n_ranks)
    after = move_cuts(before, np.array(work), traffic, 0.25)
    assert (after[0], after[-1]) == (0, len(work))
    assert all(sum(work[a:b]) > 0 for a, b in pairwise(after.tolist()))
    total = np.concatenate(([0], np.cumsum(work)))
    assert (np.abs(total[after] - total[before]) <= 0.25 * total[-1] / n_ranks).all()
    if n_ranks == 2:
        load = [
            max(total[cut] + traffic[0], total[-1] - total[cut] + traffic[-1]) + traffic[cut]
            for cut in (before[1], after[1])
        ]
        assert load[1] <= load[0]


def test_more_ranks_than_clusters_with_events_are_refused() -> None:
    program = chain(16, [0, 1], [1000, 1000], n_tokens=4, n_bytes=64, capacity=2)
    with pytest.raises(ParallelError, match="3 ranks were started, but the mapping uses only 2 clusters"):
        partition_events(columns_of(program), a_chip(rows=8, columns=8, fan_outs=(4, 4)), 3)
