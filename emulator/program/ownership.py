"""Which rank owns which place: clusters in blocks, the ends of the HBM, and every port of the interconnect.

A port belongs to the rank that alone sends through it, or else to the rank that alone receives through it. In a tree
that keeps the ports below a block of whole subtrees with the block, save that ports which only another rank's bursts
enter by belong to the sender: a burst then meets no other rank before it arrives, and its acknowledgement none at all.
A port that several ranks send and receive through belongs to whom most of its bursts start from (on the way up) or go
to (on the way down). Any other choice would give the same trace, with more messages.
"""

import numpy as np
from numpy.typing import NDArray

from emulator.chip.spec import Chip
from emulator.chip.topology import build_topology
from emulator.program.columns import Columns
from emulator.program.lower import CHUNK, routes_of, sites_of

#: Events per token beside those of its bursts (DMA, credit), and per burst beside those at ports (arrival, its answer).
_TOKEN_EVENTS = 2
_BURST_EVENTS = 2


def place_owners(columns: Columns, chip: Chip, bounds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rank of every place: clusters, HBM, drain, ports.

    Args:
        columns: the program.
        chip: the chip it runs on.
        bounds: (n_ranks + 1,): rank r owns clusters ``bounds[r]`` to ``bounds[r + 1]``.
    """
    topology, sites, channels = build_topology(chip), sites_of(columns), columns.channels
    n_ranks, hbm = len(bounds) - 1, columns.n_clusters
    owners = np.zeros(hbm + 2 + len(topology.ports), np.int64)
    owners[:hbm] = np.searchsorted(bounds, np.arange(hbm), side="right") - 1
    into_drain = channels["producer"][sites[channels["consumer"]] == hbm + 1]
    owners[hbm + 1] = owners[sites[into_drain]].max(initial=0)
    weight = _bursts(columns, chip)
    # Bursts through each port by the rank that they come from, and by the rank that they go to.
    traffic = {end: np.zeros((len(topology.ports), n_ranks)) for end in ("producer", "consumer")}
    for begin in range(0, len(channels), CHUNK):
        chosen = np.arange(begin, min(begin + CHUNK, len(channels)))
        routes = routes_of(columns, sites, topology, chosen)
        bursts = np.repeat(weight[chosen], np.diff(routes.start))
        for end, counts in traffic.items():
            rank = np.repeat(owners[sites[channels[end][chosen]]], np.diff(routes.start))
            np.add.at(counts, (routes.port, rank), bursts)
    senders, receivers = ((counts > 0).sum(axis=1) for counts in traffic.values())
    is_up = np.arange(len(topology.ports)) % 2 == 0  # ports come in pairs, up and down
    by_sender = (senders == 1) | ((receivers != 1) & is_up)
    owners[hbm + 2 :] = np.where(by_sender, traffic["producer"].argmax(axis=1), traffic["consumer"].argmax(axis=1))
    return owners


def estimate_events(columns: Columns, chip: Chip) -> NDArray[np.int64]:
    """Estimate the timing events per image of each cluster: its firings, and its half of its transfers."""
    topology, sites, channels = build_topology(chip), sites_of(columns), columns.channels
    hbm = columns.n_clusters
    events = np.bincount(sites, weights=columns.actors["n_firings"], minlength=hbm + 2)
    weight = _bursts(columns, chip)
    for begin in range(0, len(channels), CHUNK):
        chosen = np.arange(begin, min(begin + CHUNK, len(channels)))
        hops = np.diff(routes_of(columns, sites, topology, chosen).start)
        half = weight[chosen] * (hops + _BURST_EVENTS) / 2 + channels["n_tokens"][chosen] * _TOKEN_EVENTS / 2
        for end in ("producer", "consumer"):
            np.add.at(events, sites[channels[end][chosen]], np.where(hops > 0, half, 0))
    return np.ceil(events[:hbm]).astype(np.int64)


def boundary_tokens(columns: Columns, owners: NDArray[np.int64]) -> int:
    """Count the tokens per image whose producer and consumer belong to different ranks."""
    rank = owners[sites_of(columns)]
    crosses = rank[columns.channels["producer"]] != rank[columns.channels["consumer"]]
    return int(columns.channels["n_tokens"][crosses].sum())


def _bursts(columns: Columns, chip: Chip) -> NDArray[np.int64]:
    """Return the bursts per image of every channel."""
    per_token = -(-columns.token_bytes // chip.cluster.dma.max_burst_bytes)
    total = np.concatenate(([0], np.cumsum(per_token)))
    start = columns.channels["token_start"]
    return np.asarray(total[start + columns.channels["n_tokens"]] - total[start], np.int64)
