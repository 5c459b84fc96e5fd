"""The timing plane of one rank behind one small face: memory that grows, records to the sink, errors with names."""

from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from emulator.errors import CausalityError, ProgramError
from emulator.program.lower import Tables
from emulator.timing import kernel
from emulator.timing.border import Border
from emulator.timing.compiled import require_compiler
from emulator.timing.records import FIRING_COLUMNS, TRANSFER_COLUMNS, TimingSink
from emulator.timing.state import (
    EVENT_FIELDS,
    N_EVENTS,
    N_FIRINGS,
    N_HEAP,
    N_TRANSFERS,
    NEVER,
    NOW,
    State,
    initial_state,
)

#: A horizon that no event reaches.
END_OF_TIME_PS = NEVER
_PS_PER_DAY = 86_400 * 10**12
#: Records held before they go to the sink.
RECORD_CAPACITY = 65_536


@dataclass(frozen=True, slots=True)
class PortTotals:
    """Traffic over a run of the ports that a rank owns and knows; ``port`` is their id in the topology."""

    port: NDArray[np.int64]
    busy_ps: NDArray[np.int64]
    n_bytes: NDArray[np.int64]
    n_bursts: NDArray[np.int64]


class TimingEngine:
    """Times a rank's part of a lowered program for a batch of images.

    An engine handles the events of the places (sites and ports) that its rank owns. With one rank that owns everything,
    ``run`` is all there is; with several, ``rounds`` moves events between engines.

    Raises:
        ConfigError: numba has been told not to compile.
    """

    def __init__(self, tables: Tables, n_images: int, sink: TimingSink) -> None:
        require_compiler()
        self.tables = tables
        self._sink = sink
        actors, limit = tables.actors, int(tables.queues["limit"].max(initial=0))
        n_inputs = int((actors["in_end"] - actors["in_start"]).max(initial=0))
        n_outputs = int((actors["out_end"] - actors["out_start"]).max(initial=0))
        #: Bounds what one event can cause elsewhere: credits for the inputs of a firing, or the bursts of a queue.
        self.outbox_margin = n_inputs + limit + 16
        #: And in all: a firing's outputs each start a queue, and the actors of the site start.
        self.margin = self.outbox_margin + n_outputs + int(np.diff(tables.site_start).max(initial=0))
        self._state = initial_state(tables, n_images, RECORD_CAPACITY + self.margin)
        self._reserve_heap(len(actors))  # at the start every site acts at once

    @property
    def state(self) -> State:
        """Where everything stands, for the promises derived from it; to be read only."""
        return self._state

    @property
    def now_ps(self) -> int:
        """Time of the latest event handled."""
        return int(self._state.counts[NOW])

    @property
    def n_events(self) -> int:
        """Events handled so far."""
        return int(self._state.counts[N_EVENTS])

    @property
    def finished(self) -> bool:
        """Whether every actor of an owned site has fired as often as the batch asks for."""
        return bool((self._state.actors["fired"] == self._state.actors["target"]).all())

    @property
    def port_totals(self) -> PortTotals:
        """Traffic per port so far."""
        mine = self._state.owned[self.tables.n_sites :]
        ports = self._state.ports[mine]
        totals = (ports[name].copy() for name in ("busy_ps", "n_bytes", "n_bursts"))
        return PortTotals(self.tables.port_id[mine], *totals)

    def refuse(self, event: NDArray[np.int64], source: int) -> NoReturn:
        """Raise the error of an event from rank ``source`` that cannot be taken.

        Raises:
            CausalityError: names both ends.
        """
        time_ps, place, rank = int(event[0]), int(event[1] >> 3), self.tables.rank
        raise CausalityError(
            f"rank {source} sent an event for place {place} at {time_ps} ps, which rank {rank} cannot take: it has "
            f"arrived at {self.now_ps} ps{'' if time_ps < self.now_ps else ' and does not own the place'}"
        )

    def make_room(self, n_events: int) -> None:
        """Make room for events that come in and the records that they may cause."""
        self._reserve_heap(n_events)
        if self._state.counts[N_TRANSFERS] + n_events > len(self._state.transfers) - self.margin:
            self.flush()

    def share(self, n_outgoing: int, border: Border) -> None:
        """Prepare for events that leave: room for so many at once, and what bursts sent out can cause here."""
        self._state = self._state._replace(
            outbox=np.empty((n_outgoing, EVENT_FIELDS), np.int64),
            entry_start=border.entry_start,
            echo_ps=border.echo_ps,
            answer_echo_ps=border.answer_echo_ps,
        )

    def resolve(self, reason: int) -> None:
        """Mend what the compiled loop stopped for: a full heap or full records.

        Raises:
            CausalityError: time would run backwards.
        """
        if reason == kernel.CAUSALITY:
            raise CausalityError(f"rank {self.tables.rank}: time would run backwards at {self.now_ps} ps")
        if reason == kernel.HEAP_FULL:
            self._reserve_heap()
        else:
            assert reason == kernel.RECORDS_FULL, reason
            self.flush()

    def run(self) -> None:
        """Time the whole batch on an engine that owns everything, and hand all records to the sink.

        Raises:
            ProgramError: nothing can fire although firings are left.
        """
        while reason := kernel.advance(self.tables, self._state, END_OF_TIME_PS, self.margin, 0):
            self.resolve(reason)
        self.finish()

    def finish(self) -> None:
        """Hand the last records to the sink when no event is left.

        Raises:
            ProgramError: nothing can fire although firings are left, or they would come after the end of time.
        """
        self.flush()
        if not self.finished:
            if self._state.counts[N_HEAP] > 0:  # what is left begins at NEVER or later
                raise ProgramError(
                    f"emulated time reaches {END_OF_TIME_PS} ps ({END_OF_TIME_PS / _PS_PER_DAY:.0f} days), the end of "
                    "the clock's 64 bits, with firings left: make the batch smaller (inputs.count), or the times in "
                    "the chip file shorter"
                )
            raise ProgramError(f"the program stops at {self.now_ps} ps with firings left: it deadlocks")

    def flush(self) -> None:
        """Hand the records held so far to the sink."""
        counts, tables = self._state.counts, self.tables
        for table, names, rows, slot in (
            ("firings", FIRING_COLUMNS, self._state.firings, N_FIRINGS),
            ("transfers", TRANSFER_COLUMNS, self._state.transfers, N_TRANSFERS),
        ):
            if not counts[slot]:
                continue
            columns = dict(zip(names, rows[: counts[slot]].T.copy(), strict=True))
            if table == "firings":
                columns["actor"] = tables.actor_id[columns["actor"]]
                waited = columns["cause_channel"] >= 0
                columns["cause_channel"][waited] = tables.channel_id[columns["cause_channel"][waited]]
            else:
                columns["channel"] = tables.channel_id[columns["channel"]]
            self._sink.append(table, columns)
            counts[slot] = 0

    def _reserve_heap(self, n_more: int = 0) -> None:
        """Grow the heap until ``n_more`` events and the consequences of the next fit."""
        heap, n_used = self._state.heap, int(self._state.counts[N_HEAP])
        n_needed = n_used + n_more + 2 * self.margin
        if n_needed > len(heap):
            larger = np.empty((2 * n_needed, EVENT_FIELDS), np.int64)
            larger[:n_used] = heap[:n_used]
            self._state = self._state._replace(heap=larger)
