"""What viewers of timelines show: firings per unit in the order of time, and transfers as flows between firings."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from traces.analysis.network import spread
from traces.analysis.records import Records
from traces.errors import TraceError
from traces.quantities import PS_PER, read_quantity
from traces.reader import Trace
from traces.schema import Resource

UNIT_NAMES = {Resource.NONE: "DMA and memory", Resource.IMA: "IMA", Resource.CORES: "cores"}
_N_COUNTER_BINS = 500
_N_PORTS = 32


class Window(NamedTuple):
    """Emulated time from ``begin_ps`` up to ``end_ps``; what reaches into it belongs to it."""

    begin_ps: int
    end_ps: int


WHOLE = Window(0, 1 << 62)


class Slice(NamedTuple):
    """A firing, with the flows that end and begin at it."""

    actor: int
    begin_ps: int
    end_ps: int
    flows_in: list[int]
    flows_out: list[int]


@dataclass(frozen=True, slots=True, eq=False)
class Counter:
    """How much of a port's width is used, in per cent, at the beginning of each time bin."""

    name: str
    time_ps: NDArray[np.int64]
    percent: NDArray[np.float64]


def parse_window(text: str) -> Window:
    """Read "0.5 ms..1.2 ms"; either end may be left out.

    Raises:
        TraceError: it is no window.
    """
    begin, dots, end = text.partition("..")
    form = "--window: expected a window such as '0.5ms..1.2ms'"
    if not dots:
        raise TraceError(f"{form}, got '{text}'")
    try:
        begin_ps = int(read_quantity(begin, form, PS_PER)) if begin.strip() else WHOLE.begin_ps
        end_ps = int(read_quantity(end, form, PS_PER)) if end.strip() else WHOLE.end_ps
    except ValueError as error:
        raise TraceError(str(error)) from None
    if begin_ps >= end_ps:
        raise TraceError(f"--window: expected the end to come after the start, got '{text}'")
    return Window(begin_ps, end_ps)


def check_window(records: Records, window: Window) -> None:
    """Refuse a window that shows nothing.

    Raises:
        TraceError: no firing and no transfer reaches into it.
    """
    columns = records.firings.columns, records.transfers.columns
    begin_ps = min(int(each["start_ps"].min(initial=WHOLE.end_ps)) for each in columns)
    end_ps = max(int(each["end_ps"].max(initial=0)) for each in columns)
    if window.begin_ps > end_ps or window.end_ps <= begin_ps:
        raise TraceError(
            f"--window: nothing happens in it; the run lasts from {begin_ps / 1e9:,.6g} ms to {end_ps / 1e9:,.6g} ms"
        )


class Slices:
    """The firings of a trace within a window, unit by unit.

    Args:
        trace: a trace with a timing plane.
        records: its records in order.
        window: what to show of it.
    """

    def __init__(self, trace: Trace, records: Records, window: Window) -> None:
        self._records, self.window = records, window
        actors, layers = trace["actors"], trace["layers"]["name"]
        self.names = actors["name"].tolist()
        self.layer_names = [str(layers[i]) if i >= 0 else "" for i in actors["layer"].tolist()]
        self.hbm_site = int(trace.attribute("n_clusters"))
        self.units: dict[tuple[int, int], list[int]] = {}
        for actor, unit in enumerate(zip(actors["site"].tolist(), actors["resource"].tolist(), strict=True)):
            self.units.setdefault(unit, []).append(actor)
        self.units = dict(sorted(self.units.items()))
        self._flows_in: dict[tuple[int, int], list[int]] = {}
        self._flows_out: dict[tuple[int, int], list[int]] = {}
        self._connect(trace)

    def site_name(self, site: int) -> str:
        """Return what a track of a site is called: the cluster and the layers on it."""
        if site == self.hbm_site:
            return "HBM"
        members = (actor for (own, _), actors in self.units.items() if own == site for actor in actors)
        layers = dict.fromkeys(self.layer_names[actor] for actor in members if self.layer_names[actor])
        return f"cluster {site}: {', '.join(layers)}"

    def of_unit(self, unit: tuple[int, int]) -> Iterator[Slice]:
        """Yield the firings of a unit in the order of time."""
        firings = self._records.firings
        parts = [(actor, *self._rows(actor)) for actor in self.units[unit]]
        actor = np.concatenate([np.full(last - first, actor) for actor, first, last in parts])
        row = np.concatenate([np.arange(first, last) for _, first, last in parts])
        begin, end = (
            np.concatenate([firings.rows(actor, name)[first:last] for actor, first, last in parts])
            for name in ("start_ps", "end_ps")
        )
        order = np.lexsort((end, begin))
        for key in zip(
            actor[order].tolist(), row[order].tolist(), begin[order].tolist(), end[order].tolist(), strict=True
        ):
            place = key[:2]
            yield Slice(key[0], key[2], key[3], self._flows_in.get(place, []), self._flows_out.get(place, []))

    def _rows(self, actor: int) -> tuple[int, int]:
        """Return the first row of an actor's firings in the window, and the one behind the last."""
        firings = self._records.firings
        first = int(np.searchsorted(firings.rows(actor, "end_ps"), self.window.begin_ps, side="left"))
        last = int(np.searchsorted(firings.rows(actor, "start_ps"), self.window.end_ps, side="left"))
        return first, max(first, last)

    def _connect(self, trace: Trace) -> None:
        """Connect each transfer in the window with the firing that made its token and the first that can use it.

        A transfer of which either firing lies outside of the window is left out: viewers cannot draw half a flow.
        """
        channels, transfers, firings = trace["channels"], self._records.transfers, self._records.firings
        pairs = zip(channels["producer"].tolist(), channels["consumer"].tolist(), strict=True)
        for channel, (producer, consumer) in enumerate(pairs):
            ready, end = transfers.rows(channel, "ready_ps"), transfers.rows(channel, "end_ps")
            first = int(np.searchsorted(end, self.window.begin_ps))
            shown = np.arange(first, len(end))[ready[first:] < self.window.end_ps]
            made = np.searchsorted(firings.rows(producer, "end_ps"), ready[shown], side="right") - 1
            used = np.searchsorted(firings.rows(consumer, "start_ps"), end[shown], side="left")
            ids = (int(transfers.starts[channel]) + shown + 1).tolist()
            makes, uses = range(*self._rows(producer)), range(*self._rows(consumer))
            for flow, source, target in zip(ids, made.tolist(), used.tolist(), strict=True):
                if source in makes and target in uses:
                    self._flows_out.setdefault((producer, source), []).append(flow)
                    self._flows_in.setdefault((consumer, target), []).append(flow)


def port_counters(trace: Trace, records: Records, window: Window) -> list[Counter]:
    """Return the use of the busiest ports over time; each transfer spreads its bytes over its travel time."""
    if "routes" not in trace:
        return []
    totals, ports, channels = trace["port_totals"], trace["ports"], trace["channels"]
    ends = records.transfers.columns["end_ps"]
    begin_ps, end_ps = window.begin_ps, min(window.end_ps, int(ends.max(initial=1)))
    bin_ps = max((end_ps - begin_ps) / _N_COUNTER_BINS, 1.0)
    time_ps = (begin_ps + bin_ps * np.arange(_N_COUNTER_BINS)).astype(np.int64)
    token_bytes = channels["n_bytes"] / np.maximum(channels["n_tokens"], 1)
    route_channel, route_port = trace["routes"]["channel"], trace["routes"]["port"]
    names, widths, cycle_ps = ports["name"], ports["width"], int(trace.attribute("cycle_ps"))
    counters = []
    for port in totals["port"][np.argsort(-totals["busy_ps"], kind="stable")][:_N_PORTS].tolist():
        n_bytes = np.zeros(_N_COUNTER_BINS)
        for channel in route_channel[route_port == port].tolist():
            begin = (records.transfers.rows(channel, "start_ps") - begin_ps) / bin_ps
            end = (records.transfers.rows(channel, "end_ps") - begin_ps) / bin_ps
            n_bytes += spread(begin, end, np.full(len(begin), token_bytes[channel]), _N_COUNTER_BINS)
        percent = 100 * n_bytes / (widths[port] * bin_ps / cycle_ps)
        counters.append(Counter(str(names[port]), time_ps, np.round(percent, 2)))
    return counters
