"""Where the time of every cluster went: seven shares that add up to the makespan, in whole picoseconds.

At every instant of the makespan a cluster is in the first of these states that applies:

- *compute*: its IMA or its cores work. Where both work, the instant counts for the unit that works longer on this
  cluster altogether, so the unit that binds a cluster shows with its whole time, the other with what it adds.
- *synchronization*: a firing has begun, but its cores are still being woken and its units programmed.
- Between two firings it idles, and the firing that ends the gap says what it waited for. If that was a token, the part
  of the gap in which the token was already made and on its way is *communication*, and the part before it *input*. If
  it was room, the part in which a made token was on its way out is *communication*, the part before it *consumers*.
  The record names the last obstacle only, so a gap with several counts for the last. Gaps of other causes (there are
  none in runs of the present engines) count as sleep.
- *sleep*: it has done its part of the batch, or only holds data.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traces.analysis.chip import ChipFacts
from traces.analysis.intervals import union_ps
from traces.analysis.records import Records
from traces.analysis.throughput import Throughput
from traces.reader import Trace
from traces.schema import Cause, Resource

CAUSES = ("analog", "digital", "communication", "synchronization", "input", "consumers", "sleep")
ANALOG, DIGITAL, COMMUNICATION, SYNCHRONIZATION, INPUT, CONSUMERS, SLEEP = range(7)


@dataclass(frozen=True, slots=True, eq=False)
class TimeAccount:
    """Shares of time per used cluster.

    Attributes:
        cluster: cluster ids, ascending.
        layer: row in ``layers`` of the layer that keeps the cluster busy longest, -1 if none does.
        time_ps: (clusters, 7), by the names in ``CAUSES``; every row adds up to ``makespan_ps``.
    """

    cluster: NDArray[np.int64]
    layer: NDArray[np.int64]
    time_ps: NDArray[np.int64]
    makespan_ps: int

    def of_layers(self, n_layers: int) -> NDArray[np.int64]:
        """Sum up by layer, (n_layers, 7); clusters without a layer are left out."""
        total = np.zeros((n_layers, len(CAUSES)), np.int64)
        placed = self.layer >= 0
        np.add.at(total, self.layer[placed], self.time_ps[placed])
        return total


def account_time(trace: Trace, records: Records, throughput: Throughput, chip: ChipFacts | None) -> TimeAccount:
    """Account for the time of every used cluster; without a chip, synchronisation counts as computing."""
    actors = trace["actors"]
    site, layer, resource = (actors[name].astype(np.int64) for name in ("site", "layer", "resource"))
    n_clusters = int(trace.attribute("n_clusters"))
    sync_ps = chip.cluster.synchronization * int(trace.attribute("cycle_ps")) if chip else 0
    by_site = np.argsort(site, kind="stable")
    clusters = np.unique(site[site < n_clusters])
    bounds = np.searchsorted(site[by_site], [clusters, clusters + 1]).T
    times = np.zeros((len(clusters), len(CAUSES)), np.int64)
    main_layer = np.full(len(clusters), -1)
    for i, (begin, end) in enumerate(bounds):
        members = by_site[begin:end]
        firings = _firings_of(records, members, resource)
        times[i] = _account_cluster(firings, records, throughput, sync_ps)
        main_layer[i] = _main_layer(firings, layer)
    return TimeAccount(clusters, main_layer, times, throughput.makespan_ps)


@dataclass(frozen=True, slots=True, eq=False)
class _Firings:
    """Firings of one cluster in the order of their start."""

    actor: NDArray[np.int64]
    is_ima: NDArray[np.bool_]
    start_ps: NDArray[np.int64]
    end_ps: NDArray[np.int64]
    cause: NDArray[np.int64]
    channel: NDArray[np.int64]


def _firings_of(records: Records, members: NDArray[np.int64], resource: NDArray[np.int64]) -> _Firings:
    working = members[resource[members] != Resource.NONE].tolist()
    if not working:
        none = np.empty(0, np.int64)
        return _Firings(none, none.astype(bool), none, none, none, none)
    actor = records.firings.owners(working)
    start, end, cause, channel = (
        records.firings.gather(working, name).astype(np.int64)
        for name in ("start_ps", "end_ps", "cause", "cause_channel")
    )
    order = np.lexsort((end, start))
    is_ima = resource[actor] == Resource.IMA
    return _Firings(actor[order], is_ima[order], start[order], end[order], cause[order], channel[order])


def _account_cluster(
    firings: _Firings, records: Records, throughput: Throughput, sync_ps: int
) -> list[int]:  # fmt: skip
    begin_ps, stop_ps = throughput.begin_ps, throughput.begin_ps + throughput.makespan_ps
    start_ps, end_ps = np.clip(firings.start_ps, begin_ps, stop_ps), np.clip(firings.end_ps, begin_ps, stop_ps)
    awake_ps = np.minimum(start_ps + sync_ps, end_ps)
    is_ima = firings.is_ima
    ima_ps, cores_ps = union_ps(awake_ps[is_ima], end_ps[is_ima]), union_ps(awake_ps[~is_ima], end_ps[~is_ima])
    compute_ps, busy_ps = union_ps(awake_ps, end_ps), union_ps(start_ps, end_ps)
    account = [0] * len(CAUSES)
    account[ANALOG] = ima_ps if ima_ps >= cores_ps else compute_ps - cores_ps
    account[DIGITAL] = compute_ps - account[ANALOG]
    account[SYNCHRONIZATION] = busy_ps - compute_ps
    _account_gaps(account, firings, np.maximum.accumulate(np.concatenate(([begin_ps], end_ps))), start_ps, records)
    account[SLEEP] = throughput.makespan_ps - sum(account[:SLEEP])
    return account


def _account_gaps(
    account: list[int], firings: _Firings, reached_ps: NDArray[np.int64], start_ps: NDArray[np.int64], records: Records
) -> None:
    """Split the time before each firing that ends a gap, by what the firing waited for."""
    idle = np.flatnonzero(start_ps > reached_ps[:-1])
    for cause, waited_for, time_name in ((Cause.INPUT, INPUT, "ready_ps"), (Cause.ROOM, CONSUMERS, "start_ps")):
        chosen = idle[firings.cause[idle] == cause]
        moving_ps = 0
        for channel in np.unique(firings.channel[chosen]).tolist():
            ended = chosen[firings.channel[chosen] == channel]
            moving_ps += _moving_ps(records, channel, time_name, reached_ps[ended], start_ps[ended])
        account[COMMUNICATION] += moving_ps
        account[waited_for] += int((start_ps[chosen] - reached_ps[chosen]).sum()) - moving_ps


def _moving_ps(
    records: Records, channel: int, time_name: str, gap_begin_ps: NDArray[np.int64], gap_end_ps: NDArray[np.int64]
) -> int:
    """Return for how long of some gaps the last token to arrive before their end was already under way."""
    arrived_ps = records.transfers.rows(channel, "end_ps") if channel >= 0 else np.empty(0, np.int64)
    if not len(arrived_ps):  # within a cluster nothing travels
        return 0
    last = np.searchsorted(arrived_ps, gap_end_ps, side="right") - 1
    began_ps = records.transfers.rows(channel, time_name)[np.maximum(last, 0)]
    moving_ps = gap_end_ps - np.maximum(began_ps, gap_begin_ps)
    return int(np.maximum(moving_ps[last >= 0], 0).sum())


def _main_layer(firings: _Firings, layer: NDArray[np.int64]) -> int:
    """Return the layer that fires longest on a cluster; the first of equals."""
    of_layer = layer[firings.actor]
    layers, which = np.unique(of_layer, return_inverse=True)
    busy_ps = np.zeros(len(layers), np.int64)
    np.add.at(busy_ps, which, firings.end_ps - firings.start_ps)
    return int(layers[busy_ps.argmax()]) if len(layers) else -1
