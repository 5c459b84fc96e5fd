"""Which rank owns which clusters in the value plane: blocks of equal work, cut where little has to travel."""

from collections.abc import Hashable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from emulator.network.geometry import Span
from emulator.parallel.partition import move_cuts, partition_clusters
from emulator.program.dataflow import Program
from emulator.values.operands import carried_map, carries_sums, made_columns
from emulator.values.work import HostCosts, estimate_work
from traces.schema import ActorKind

#: A byte that crosses ranks costs each of the two so much, from copying it out to laying it down, in picoseconds.
_PS_PER_BYTE = 500
#: Cuts move by at most this share of a block's work.
_REACH = 0.15
_SUM_BYTES = 4


def balanced_blocks(program: Program, costs: HostCosts, n_ranks: int) -> tuple[Span, ...]:
    """Return one contiguous block of clusters per rank.

    Cuts that balance the work are moved, one after the other, to where work and traffic of the busier neighbour are
    least: inside a layer, 32-bit partial sums would travel; between layers, one 8-bit feature map does.

    Raises:
        ParallelError: there are more ranks than clusters with work.
    """
    work = estimate_work(program, costs)
    traffic = crossing_bytes(program) * _PS_PER_BYTE
    bounds = move_cuts(partition_clusters(work, n_ranks), work, traffic, _REACH)
    return tuple(Span(int(a), int(b)) for a, b in pairwise(bounds))


def crossing_bytes(program: Program) -> NDArray[np.int64]:
    """Return the bytes per image that would cross a cut before each cluster, (n_clusters + 1,).

    What several consumers read crosses a cut once.
    """
    pieces: dict[Hashable, tuple[int, set[int]]] = {}
    for channel in program.channels:
        producer, consumer = program.actors[channel.producer], program.actors[channel.consumer]
        ends = {producer.site, consumer.site}
        if program.hbm_site in ends or ActorKind.STORE in {producer.kind, consumer.kind}:
            continue
        n_pixels = carried_map(program, channel).height * len(made_columns(producer, channel.tokens))
        n_bytes = n_pixels * len(channel.carries) * (_SUM_BYTES if carries_sums(producer) else 1)
        piece = channel.producer, channel.carries, channel.tokens
        pieces.setdefault(piece, (n_bytes, set()))[1].update(ends)
    steps = np.zeros(program.n_clusters + 2, np.int64)
    for n_bytes, sites in pieces.values():
        steps[min(sites) + 1] += n_bytes
        steps[max(sites) + 1] -= n_bytes
    return np.cumsum(steps)[:-1]
