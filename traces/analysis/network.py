"""The network-on-chip: traffic by port and level, latencies of transfers, contention, bandwidth of the HBM.

A transfer is *held* from the making of its token to its first burst (the DMA engine is busy, or the consumer has no
room), then *travels*. It would travel alone for the latencies of the ports on its way and its bytes over the narrowest
of them; what it takes longer is *contention*. Bytes are the mean over the tokens of its channel: only tokens at the
edge of a feature map differ.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traces.analysis.records import Records
from traces.analysis.throughput import PS_PER_S, Throughput
from traces.reader import Trace

#: Sixteen bins per doubling: 4 % wide.
_BINS_PER_DOUBLING = 16
N_TIME_BINS = 400


@dataclass(frozen=True, slots=True)
class LevelUse:
    """Ports of one level of the interconnect; ``busiest`` is the name of the one that is busy longest."""

    level: str
    n_ports_used: int
    n_bytes: int
    mean_busy_share: float
    busiest: str
    busiest_share: float


@dataclass(frozen=True, slots=True, eq=False)
class Latencies:
    """Times of all transfers.

    Attributes:
        n_transfers: how many.
        held_ps, travelled_ps, contention_ps: sums over all.
        edges_ps, n_in_bin: histogram of travel times, (n + 1,) and (n,).
    """

    n_transfers: int
    held_ps: int
    travelled_ps: int
    contention_ps: int
    edges_ps: NDArray[np.float64]
    n_in_bin: NDArray[np.int64]

    def quantile_ps(self, share: float) -> float:
        """Return a travel time that ``share`` of the transfers does not exceed, to within a bin."""
        reached = np.searchsorted(np.cumsum(self.n_in_bin), share * self.n_transfers)
        return float(self.edges_ps[min(int(reached) + 1, len(self.n_in_bin))])


@dataclass(frozen=True, slots=True, eq=False)
class NetworkUse:
    """What the network did.

    Attributes:
        levels: from the busiest on.
        hot_ports: the ten ports that are busy longest: name and share of the makespan.
        hbm_bytes_per_second: (2, bins), reads and writes over time.
    """

    levels: tuple[LevelUse, ...]
    hot_ports: tuple[tuple[str, float], ...]
    latencies: Latencies
    hbm_bytes_per_second: NDArray[np.float64]


def measure_network(trace: Trace, records: Records, throughput: Throughput) -> NetworkUse:
    """Work out the traffic of a run."""
    ports, totals = trace["ports"], trace["port_totals"]
    port, busy_ps, n_bytes = (totals[name].astype(np.int64) for name in ("port", "busy_ps", "n_bytes"))
    share = busy_ps / throughput.makespan_ps
    names, level = ports["name"][port], ports["level"][port]
    levels = [_measure_level(str(each), names, share, n_bytes, level == each) for each in dict.fromkeys(level)]
    hottest = np.lexsort((port, -share))[:10]
    return NetworkUse(
        levels=tuple(sorted(levels, key=lambda use: -use.busiest_share)),
        hot_ports=tuple((str(names[i]), float(share[i])) for i in hottest),
        latencies=_measure_latencies(trace, records),
        hbm_bytes_per_second=_hbm_bandwidth(trace, records, throughput),
    )


def _measure_level(
    level: str, names: NDArray[np.object_], share: NDArray[np.float64], n_bytes: NDArray[np.int64],
    own: NDArray[np.bool_],
) -> LevelUse:  # fmt: skip
    busiest = int(np.flatnonzero(own)[share[own].argmax()])
    mean = float(share[own].mean())
    return LevelUse(level, int(own.sum()), int(n_bytes[own].sum()), mean, str(names[busiest]), float(share[busiest]))


def _measure_latencies(trace: Trace, records: Records) -> Latencies:
    alone_ps = _alone_ps(trace)
    n_bins = 64 * _BINS_PER_DOUBLING
    n_in_bin = np.zeros(n_bins, np.int64)
    held_ps = travelled_ps = contention_ps = 0
    for channel in np.flatnonzero(np.diff(records.transfers.starts)).tolist():
        ready, start, end = (records.transfers.rows(channel, name) for name in ("ready_ps", "start_ps", "end_ps"))
        travel_ps = np.asarray(end - start)
        held_ps += int((start - ready).sum())
        travelled_ps += int(travel_ps.sum())
        contention_ps += int(np.maximum(travel_ps - alone_ps[channel], 0).sum())
        bins = (np.log2(np.maximum(travel_ps, 1)) * _BINS_PER_DOUBLING).astype(np.int64)
        n_in_bin += np.bincount(bins, minlength=n_bins)
    used = np.flatnonzero(n_in_bin)
    first, last = (int(used[0]), int(used[-1]) + 1) if used.size else (0, 1)
    edges_ps = 2.0 ** (np.arange(first, last + 1) / _BINS_PER_DOUBLING)
    return Latencies(
        len(records.transfers), held_ps, travelled_ps, contention_ps, edges_ps, n_in_bin[first:last]
    )  # fmt: skip


def _alone_ps(trace: Trace) -> NDArray[np.int64]:
    """Return, per channel, how long its mean token travels on an empty network; far too long where it is not known."""
    channels = trace["channels"]
    if "routes" not in trace:
        return np.full(len(channels), np.iinfo(np.int64).max // 2)
    channel, port = (trace["routes"][name].astype(np.int64) for name in ("channel", "port"))
    ports = trace["ports"]
    latency_ps = np.zeros(len(channels), np.int64)
    np.add.at(latency_ps, channel, ports["latency_ps"][port])
    width = np.full(len(channels), np.iinfo(np.int64).max)
    np.minimum.at(width, channel, ports["width"][port])
    token_bytes = channels["n_bytes"] // np.maximum(channels["n_tokens"], 1)
    alone_ps: NDArray[np.int64] = latency_ps + -(-token_bytes // width) * int(trace.attribute("cycle_ps"))
    return alone_ps


def _hbm_bandwidth(trace: Trace, records: Records, throughput: Throughput) -> NDArray[np.float64]:
    """Spread the bytes of each transfer from or to the HBM evenly over its travel time."""
    channels, site = trace["channels"], trace["actors"]["site"].astype(np.int64)
    hbm = int(trace.attribute("n_clusters"))
    is_read, is_write = site[channels["producer"]] == hbm, site[channels["consumer"]] == hbm
    token_bytes = channels["n_bytes"] / channels["n_tokens"]
    bin_ps = throughput.makespan_ps / N_TIME_BINS
    rate = np.zeros((2, N_TIME_BINS))
    for row, own in enumerate((is_read, is_write)):
        for channel in np.flatnonzero(own).tolist():
            start = (records.transfers.rows(channel, "start_ps") - throughput.begin_ps) / bin_ps
            end = (records.transfers.rows(channel, "end_ps") - throughput.begin_ps) / bin_ps
            if len(start):
                amount = np.full(len(start), token_bytes[channel])
                rate[row] += spread(start, end, amount, N_TIME_BINS) / (bin_ps / PS_PER_S)
    return rate


def spread(
    start: NDArray[np.float64], end: NDArray[np.float64], amount: NDArray[np.float64], n_bins: int
) -> NDArray[np.float64]:
    """Spread amounts evenly over intervals and return what falls into each bin; times are in bins."""
    length = np.maximum(end - start, 1e-9)
    steps = np.zeros(n_bins + 2)  # the second derivative of the cumulative amount, split between neighbours
    for position, sign in ((start, 1.0), (end, -1.0)):
        at = np.clip(position, 0, n_bins)
        index = np.minimum(at.astype(np.int64), n_bins)
        into = at - index
        np.add.at(steps, index, sign * amount / length * (1 - into))
        np.add.at(steps, index + 1, sign * amount / length * into)
    filled: NDArray[np.float64] = np.cumsum(steps)[:n_bins]
    return filled
