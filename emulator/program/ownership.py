"""Which rank owns which place: clusters in blocks, the ends of the HBM, and every port of the interconnect.

In a tree the ports below a block of whole subtrees carry only what starts or ends in the block. Most ports are so used
by one rank alone and belong to it. The others are shared out so that as few events as possible cross ranks: a burst
that goes on to a port of another rank, one that arrives at another rank's cluster and one that is acknowledged to
another rank count one each. That is a minimum cut, found for every boundary between ranks; the cuts nest. Any other
owner would give the same trace, with more messages.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from emulator.chip.spec import Chip
from emulator.chip.topology import build_topology
from emulator.program.columns import Columns
from emulator.program.lower import CHUNK, routes_of, sites_of

#: Events per token beside those of its bursts (DMA, credit), and per burst beside those at ports (arrival, its answer).
_TOKEN_EVENTS = 2
_BURST_EVENTS = 2
#: The largest capacity of a cut's graph, whose flows are 32-bit integers.
_CAPACITY = 1 << 20


class _Steps(NamedTuple):
    """Pairs of places that the bursts of channels pass between, and how many do."""

    source: NDArray[np.int64]
    target: NDArray[np.int64]
    n_bursts: NDArray[np.int64]


def place_owners(columns: Columns, chip: Chip, bounds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rank of every place: clusters, HBM, drain, ports.

    Args:
        columns: the program.
        chip: the chip it runs on.
        bounds: (n_ranks + 1,): rank r owns clusters ``bounds[r]`` to ``bounds[r + 1]``.
    """
    topology, sites, channels = build_topology(chip), sites_of(columns), columns.channels
    hbm = columns.n_clusters
    owners = np.full(hbm + 2 + len(topology.ports), -1)
    owners[:hbm] = np.searchsorted(bounds, np.arange(hbm), side="right") - 1
    owners[hbm] = 0
    into_drain = channels["producer"][sites[channels["consumer"]] == hbm + 1]
    owners[hbm + 1] = owners[sites[into_drain]].max(initial=0)
    # The least and the greatest rank at either end of what passes a port; the first port of a route is the sender's.
    least, greatest = np.full(len(owners), len(bounds)), np.full(len(owners), -1)
    for begin in range(0, len(channels), CHUNK):
        chosen = np.arange(begin, min(begin + CHUNK, len(channels)))
        routes = routes_of(columns, sites, topology, chosen)
        hops = np.diff(routes.start)
        for end in ("producer", "consumer"):
            rank = np.repeat(owners[sites[channels[end][chosen]]], hops)
            np.minimum.at(least, hbm + 2 + routes.port, rank)
            np.maximum.at(greatest, hbm + 2 + routes.port, rank)
        owners[hbm + 2 + routes.port[routes.start[:-1][hops > 0]]] = owners[
            sites[channels["producer"][chosen[hops > 0]]]
        ]
    owners = np.where((owners < 0) & (least == greatest), least, owners)
    owners[(owners < 0) & (greatest < 0)] = 0  # nothing passes
    if (owners < 0).any():
        _share_out(owners, _steps_at(columns, chip, owners), len(bounds) - 1)
    return owners


def _steps_at(columns: Columns, chip: Chip, owners: NDArray[np.int64]) -> _Steps:
    """List the steps of all bursts that touch a place without an owner: port to port, to the consumer, and back."""
    topology, sites, channels = build_topology(chip), sites_of(columns), columns.channels
    bursts, parts = bursts_of(columns, chip), []
    for begin in range(0, len(channels), CHUNK):
        chosen = np.arange(begin, min(begin + CHUNK, len(channels)))
        routes = routes_of(columns, sites, topology, chosen)
        port, channel = columns.n_clusters + 2 + routes.port, np.repeat(chosen, np.diff(routes.start))
        inner = np.flatnonzero(channel[1:] == channel[:-1]) if len(channel) else np.empty(0, np.int64)
        last = routes.start[1:][np.diff(routes.start) > 0] - 1
        parts.append(_Steps(port[inner], port[inner + 1], bursts[channel[inner]]))
        parts += [
            _Steps(port[last], sites[channels[end][channel[last]]], bursts[channel[last]])
            for end in ("producer", "consumer")
        ]
    steps = _Steps(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    touching = (owners[steps.source] < 0) | (owners[steps.target] < 0)
    return _Steps(*(column[touching] for column in steps))


def _share_out(owners: NDArray[np.int64], steps: _Steps, n_ranks: int) -> None:
    """Give every place without an owner one, so that the fewest bursts step from one rank to another."""
    nodes = np.flatnonzero(owners < 0)
    first, second = np.searchsorted(nodes, steps.source), np.searchsorted(nodes, steps.target)
    source, sink = len(nodes), len(nodes) + 1
    is_fixed = [owners[end] >= 0 for end in (steps.source, steps.target)]
    owners[nodes] = 0
    for rank in range(1, n_ranks):
        sides = [np.where(owners[end] < rank, source, sink) for end in (steps.source, steps.target)]
        a, b = np.where(is_fixed[0], sides[0], first), np.where(is_fixed[1], sides[1], second)
        graph = coo_array(
            (np.concatenate((steps.n_bursts, steps.n_bursts)), (np.concatenate((a, b)), np.concatenate((b, a)))),
            shape=(sink + 1, sink + 1),
        ).tocsr()
        graph.data = np.minimum(graph.data, _CAPACITY).astype(np.int32)
        residual = (graph - maximum_flow(graph, source, sink).flow).tocsr()
        residual.eliminate_zeros()
        below = breadth_first_order(residual, source, return_predecessors=False)
        above = np.setdiff1d(np.arange(len(nodes)), below)
        owners[nodes[above]] = rank


def estimate_events(columns: Columns, chip: Chip) -> NDArray[np.int64]:
    """Estimate the timing events per image of each cluster: its firings, and its half of its transfers."""
    topology, sites, channels = build_topology(chip), sites_of(columns), columns.channels
    hbm = columns.n_clusters
    events = np.bincount(sites, weights=columns.actors["n_firings"], minlength=hbm + 2)
    weight = bursts_of(columns, chip)
    for begin in range(0, len(channels), CHUNK):
        chosen = np.arange(begin, min(begin + CHUNK, len(channels)))
        hops = np.diff(routes_of(columns, sites, topology, chosen).start)
        half = weight[chosen] * (hops + _BURST_EVENTS) / 2 + channels["n_tokens"][chosen] * _TOKEN_EVENTS / 2
        for end in ("producer", "consumer"):
            np.add.at(events, sites[channels[end][chosen]], np.where(hops > 0, half, 0))
    return np.ceil(events[:hbm]).astype(np.int64)


def boundary_tokens(columns: Columns, owners: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count the tokens per image that each rank sends to consumers of other ranks."""
    rank = owners[sites_of(columns)]
    source, target = (rank[columns.channels[end]] for end in ("producer", "consumer"))
    weights = np.where(source != target, columns.channels["n_tokens"], 0)
    return np.bincount(source, weights=weights, minlength=int(owners.max()) + 1).astype(np.int64)


def bursts_of(columns: Columns, chip: Chip) -> NDArray[np.int64]:
    """Return the bursts per image of every channel."""
    per_token = -(-columns.token_bytes // chip.cluster.dma.max_burst_bytes)
    total = np.concatenate(([0], np.cumsum(per_token)))
    start = columns.channels["token_start"]
    return np.asarray(total[start + columns.channels["n_tokens"]] - total[start], np.int64)
