"""The timing plane behind one small face: deliver events from elsewhere, advance to a horizon, hand out the rest."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emulator.errors import CausalityError, ProgramError
from emulator.program.lower import Tables
from emulator.timing import kernel
from emulator.timing.kernel import emit
from emulator.timing.records import FIRING_COLUMNS, TRANSFER_COLUMNS, TimingSink
from emulator.timing.state import N_EVENTS, N_FIRINGS, N_HEAP, N_OUTBOX, N_TRANSFERS, NOW, STARTED, initial_state

#: A horizon that no event reaches.
END_OF_TIME_PS = int(np.iinfo(np.int64).max)
#: Records held before they go to the sink.
RECORD_CAPACITY = 65_536


@dataclass(frozen=True, slots=True)
class PortTotals:
    """Traffic of every port over a run, one entry per port of the topology."""

    busy_ps: NDArray[np.int64]
    n_bytes: NDArray[np.int64]
    n_bursts: NDArray[np.int64]


class TimingEngine:
    """Times a lowered program for a batch of images.

    An engine handles the events of the places (sites and ports) that it owns. Events for other places appear in the
    outbox of ``advance``; the engine that owns them takes them through ``deliver``. With one engine that owns
    everything, ``run`` is all there is.
    """

    def __init__(
        self, tables: Tables, n_images: int, sink: TimingSink, owned: NDArray[np.bool_] | None = None
    ) -> None:  # fmt: skip
        self._tables = tables
        self._sink = sink
        # Bounds what one event can cause: the actors of one site start, and one actor's channels move their tokens.
        per_site = np.diff(tables.site_start).max(initial=0)
        actors = tables.actors
        fan = (actors["in_end"] - actors["in_start"] + actors["out_end"] - actors["out_start"]).max(initial=0)
        burst_limit = tables.queues["limit"].max(initial=0)
        self._margin = int(per_site + 2 * fan * int(tables.channels["slots"].max(initial=0)) + burst_limit + 16)
        everything = np.ones(tables.n_places, np.bool_)
        self._state = initial_state(
            tables, n_images, everything if owned is None else owned, RECORD_CAPACITY + self._margin
        )
        self._reserve("heap", len(actors))  # at the start every site acts at once
        self._reserve("outbox")

    @property
    def now_ps(self) -> int:
        """Time of the latest event handled."""
        return int(self._state.counts[NOW])

    @property
    def next_ps(self) -> int:
        """Time of the earliest event waiting (zero before the start), or the end of time."""
        if not self._state.counts[STARTED]:
            return 0
        return int(self._state.heap[0, 0]) if self._state.counts[N_HEAP] else END_OF_TIME_PS

    @property
    def n_events(self) -> int:
        """Events handled so far."""
        return int(self._state.counts[N_EVENTS])

    @property
    def finished(self) -> bool:
        """Whether every actor of an owned site has fired as often as the batch asks for."""
        actors = self._state.actors[self._state.owned[self._tables.actors["site"]]]
        return bool((actors["fired"] == actors["target"]).all())

    @property
    def port_totals(self) -> PortTotals:
        """Traffic per port so far."""
        ports = self._state.ports
        return PortTotals(ports["busy_ps"].copy(), ports["n_bytes"].copy(), ports["n_bursts"].copy())

    def deliver(self, events: NDArray[np.int64]) -> None:
        """Take events, rows as ``advance`` returns them, that other engines sent to places of this one.

        Raises:
            CausalityError: an event lies before the time already reached.
        """
        for row in events:
            if row[0] < self.now_ps:
                raise CausalityError(f"event for place {row[1] >> 3} at {row[0]} ps arrived at {self.now_ps} ps")
            self._reserve("heap")
            emit(self._state, row[0], row[1] >> 3, row[1] & 7, row[2], row[3], row[4], row[5])

    def advance(self, horizon_ps: int) -> NDArray[np.int64]:
        """Handle all own events before ``horizon_ps``; return the events meant for other engines' places."""
        sent: list[NDArray[np.int64]] = []
        while True:
            reason = kernel.advance(self._tables, self._state, horizon_ps, self._margin)
            sent.append(self._take_outbox())
            if reason == kernel.HEAP_FULL:
                self._reserve("heap")
            elif reason == kernel.RECORDS_FULL:
                self.flush()
            elif reason == kernel.CAUSALITY:
                raise CausalityError(f"time would run backwards at {self.now_ps} ps")
            elif reason == kernel.DONE:
                return np.concatenate(sent)

    def run(self) -> None:
        """Time the whole batch on an engine that owns everything, and hand all records to the sink.

        Raises:
            ProgramError: nothing can fire although firings are left.
        """
        self.advance(END_OF_TIME_PS)
        self.flush()
        if not self.finished:
            raise ProgramError(f"the program stops at {self.now_ps} ps with firings left: it deadlocks")

    def flush(self) -> None:
        """Hand the records held so far to the sink."""
        counts = self._state.counts
        for table, names, rows, slot in (
            ("firings", FIRING_COLUMNS, self._state.firings, N_FIRINGS),
            ("transfers", TRANSFER_COLUMNS, self._state.transfers, N_TRANSFERS),
        ):
            if counts[slot]:
                columns = rows[: counts[slot]].T.copy()
                self._sink.append(table, dict(zip(names, columns, strict=True)))
                counts[slot] = 0

    def _take_outbox(self) -> NDArray[np.int64]:
        events = self._state.outbox[: self._state.counts[N_OUTBOX]].copy()
        self._state.counts[N_OUTBOX] = 0
        return events

    def _reserve(self, name: str, n_more: int = 0) -> None:
        """Grow the heap or the outbox until ``n_more`` events and the consequences of the next fit."""
        heap, outbox = self._state.heap, self._state.outbox
        if name == "heap":
            heap = _grown(heap, int(self._state.counts[N_HEAP]), n_more + 2 * self._margin)
        else:
            outbox = _grown(outbox, int(self._state.counts[N_OUTBOX]), n_more + 2 * self._margin)
        self._state = self._state._replace(heap=heap, outbox=outbox)


def _grown(rows: NDArray[np.int64], n_used: int, n_more: int) -> NDArray[np.int64]:
    """Return ``rows`` with room for ``n_more`` behind the ``n_used`` first, the same array if it has it."""
    if n_used + n_more <= len(rows):
        return rows
    larger = np.empty((2 * (n_used + n_more), rows.shape[1]), np.int64)
    larger[:n_used] = rows[:n_used]
    return larger
