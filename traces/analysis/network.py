"""The network-on-chip: traffic by port and level, latencies of transfers, contention, bandwidth of the HBM.

A transfer is *held* from the making of its token to its first burst (the DMA engine is busy, or the consumer has no
room), then *travels*. It would travel alone for the latencies of the ports on its way and its bytes over the narrowest
of them; what it takes longer is *contention*. Bytes are the mean over the tokens of its channel: only tokens at the
edge of a feature map differ.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from traces.analysis.records import Records
from traces.analysis.throughput import PS_PER_S, Throughput
from traces.reader import Trace

#: Sixteen bins per doubling: 4 % wide.
_BINS_PER_DOUBLING = 16
N_TIME_BINS = 400
_ROWS_AT_ONCE = 1 << 20


class PortUse(NamedTuple):
    """One port; ``busy_share`` is the share of the makespan for which it is occupied."""

    name: str
    level: str
    n_bytes: int
    busy_share: float


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
        held_ps, travelled_ps, contention_ps: sums over all; the last is None for traces too old to hold routes.
        edges_ps, n_in_bin: histogram of travel times, (n + 1,) and (n,).
    """

    n_transfers: int
    held_ps: int
    travelled_ps: int
    contention_ps: int | None
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
        ports: those with traffic, from the busiest on.
        hbm_bytes_per_second: (2, bins), reads and writes over time.
    """

    levels: tuple[LevelUse, ...]
    ports: tuple[PortUse, ...]
    latencies: Latencies
    hbm_bytes_per_second: NDArray[np.float64]


def measure_network(trace: Trace, records: Records, throughput: Throughput) -> NetworkUse:
    """Work out the traffic of a run."""
    ports, totals = trace["ports"], trace["port_totals"]
    port, busy_ps, n_bytes = (totals[name].astype(np.int64) for name in ("port", "busy_ps", "n_bytes"))
    share = busy_ps / throughput.makespan_ps
    names, level = ports["name"][port], ports["level"][port]
    columns = zip(names.tolist(), level.tolist(), n_bytes.tolist(), share.tolist(), strict=True)
    uses = sorted((PortUse(*values) for values in columns), key=lambda use: (-use.busy_share, use.name))
    of_level = [[use for use in uses if use.level == each] for each in dict.fromkeys(use.level for use in uses)]
    return NetworkUse(
        levels=tuple(map(_measure_level, of_level)),
        ports=tuple(uses),
        latencies=_measure_latencies(trace, records),
        hbm_bytes_per_second=_hbm_bandwidth(trace, records, throughput),
    )


def _measure_level(ports: list[PortUse]) -> LevelUse:
    busiest, shares = ports[0], [port.busy_share for port in ports]
    n_bytes = sum(port.n_bytes for port in ports)
    return LevelUse(
        busiest.level, len(ports), n_bytes, sum(shares) / len(shares), busiest.name, busiest.busy_share
    )  # fmt: skip


def _measure_latencies(trace: Trace, records: Records) -> Latencies:
    knows_routes, transfers = "routes" in trace, records.transfers
    alone_ps = _alone_ps(trace) if knows_routes else np.zeros(len(trace["channels"]), np.int64)
    n_bins = 64 * _BINS_PER_DOUBLING
    n_in_bin = np.zeros(n_bins, np.int64)
    held_ps = travelled_ps = contention_ps = 0
    for begin in range(0, len(transfers), _ROWS_AT_ONCE):
        rows = slice(begin, min(begin + _ROWS_AT_ONCE, len(transfers)))
        ends = np.clip(transfers.starts, rows.start, rows.stop)
        n_of_channel = ends[1:] - ends[:-1]
        ready, start, end = (np.asarray(transfers.columns[name][rows]) for name in ("ready_ps", "start_ps", "end_ps"))
        travel_ps = end - start
        held_ps += int((start - ready).sum())
        travelled_ps += int(travel_ps.sum())
        contention_ps += int(np.maximum(travel_ps - np.repeat(alone_ps, n_of_channel), 0).sum())
        bins = (np.log2(np.maximum(travel_ps, 1)) * _BINS_PER_DOUBLING).astype(np.int64)
        n_in_bin += np.bincount(bins, minlength=n_bins)
    used = np.flatnonzero(n_in_bin)
    first, last = (int(used[0]), int(used[-1]) + 1) if used.size else (0, 1)
    edges_ps = 2.0 ** (np.arange(first, last + 1) / _BINS_PER_DOUBLING)
    contention = contention_ps if knows_routes else None
    return Latencies(len(transfers), held_ps, travelled_ps, contention, edges_ps, n_in_bin[first:last])


def _alone_ps(trace: Trace) -> NDArray[np.int64]:
    """Return, per channel, how long its mean token travels on an empty network."""
    channels = trace["channels"]
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
    steps = np.zeros(n_bins + 2)  # of the slope of what has been reached; a step within a bin is split with the next
    for position, sign in ((start, 1.0), (end, -1.0)):
        at = np.clip(position, 0, n_bins)
        index = at.astype(np.int64)
        height, into = sign * amount / length, at - index
        steps += np.bincount(index, height * (1 - into), n_bins + 2)
        steps += np.bincount(index + 1, height * into, n_bins + 2)
    filled: NDArray[np.float64] = np.cumsum(steps)[:n_bins]
    return filled
