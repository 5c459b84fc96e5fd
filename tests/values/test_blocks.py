"""Blocks of clusters: whole, contiguous, balanced, and cut where little travels."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from support.networks import a_chip, a_small_workload, cases

from emulator.mapping.mapping import InfeasibleError
from emulator.mapping.place import map_network
from emulator.parallel.partition import partition_clusters
from emulator.program.build import build_program
from emulator.values.blocks import balanced_blocks, crossing_bytes
from emulator.values.work import FLOAT_COSTS, INTEGER_COSTS, estimate_work


@settings(max_examples=40, deadline=None)
@given(case=cases(), data=st.data())
def test_blocks_cover_the_chip_and_all_have_work(case: tuple[object, ...], data: st.DataObject) -> None:
    try:
        program = build_program(map_network(*case))  # type: ignore[arg-type]
    except InfeasibleError:
        return
    costs = data.draw(st.sampled_from([INTEGER_COSTS, FLOAT_COSTS]))
    work = estimate_work(program, costs)
    n_ranks = data.draw(st.integers(1, min(6, np.count_nonzero(work))))
    blocks = balanced_blocks(program, costs, n_ranks)
    assert [block.start for block in blocks] == [0, *(block.end for block in blocks[:-1])]
    assert blocks[-1].end == program.n_clusters
    assert all(work[block.start : block.end].any() for block in blocks)


def test_cuts_move_to_where_less_travels() -> None:
    program = a_small_workload(a_chip(rows=16, columns=8, fan_outs=(8, 32)), 1).program
    work, traffic = estimate_work(program, INTEGER_COSTS), crossing_bytes(program)
    bounds = partition_clusters(work, 2)
    blocks = balanced_blocks(program, INTEGER_COSTS, 2)

    def load(cut: int) -> int:
        return max(work[:cut].sum(), work[cut:].sum()) + 500 * traffic[cut]

    assert load(blocks[0].end) <= load(int(bounds[1]))


def test_what_crosses_a_cut_is_counted_by_hand() -> None:
    """Before the last crossbar of the classifier: the sums of the others stay, the pooled map and one sum cross."""
    program = a_small_workload(a_chip(rows=1024, columns=64, fan_outs=(8, 32)), 1).program
    names = [(actor.name, actor.site) for actor in program.actors]
    sites = dict(names)
    traffic = crossing_bytes(program)
    assert traffic[0] == 0
    assert traffic[sites["conv1[0,0]"]] == 12 * 12 * 8  # the stem's map, once to conv1 and past it to the addition
    assert traffic[-1] == 0
