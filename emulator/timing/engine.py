"""The timing plane behind one small face: deliver events from elsewhere, advance to a horizon, hand out the rest."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emulator.errors import CausalityError, ProgramError
from emulator.program.lower import Tables
from emulator.timing import kernel
from emulator.timing.records import FIRING_COLUMNS, TRANSFER_COLUMNS, TimingSink
from emulator.timing.state import (
    EVENT_FIELDS,
    N_EVENTS,
    N_FIRINGS,
    N_HEAP,
    N_OUTBOX,
    N_TRANSFERS,
    NEVER,
    NOW,
    STARTED,
    State,
    initial_state,
)

#: A horizon that no event reaches.
END_OF_TIME_PS = NEVER
#: Records held before they go to the sink.
RECORD_CAPACITY = 65_536


@dataclass(frozen=True, slots=True)
class PortTotals:
    """Traffic over a run of the ports that a rank owns and knows; ``port`` is their id in the topology."""

    port: NDArray[np.int64]
    busy_ps: NDArray[np.int64]
    n_bytes: NDArray[np.int64]
    n_bursts: NDArray[np.int64]


class Sent(NamedTuple):
    """Events for other ranks.

    Attributes:
        rows: time, place and kind, identity and arguments, one event per row.
        owner: the rank of each.
        echo_ps: when each burst can come back here, by way of that rank's ports alone.
        answer_ps: when it can be acknowledged here.
    """

    rows: NDArray[np.int64]
    owner: NDArray[np.int64]
    echo_ps: NDArray[np.int64]
    answer_ps: NDArray[np.int64]


class TimingEngine:
    """Times a rank's part of a lowered program for a batch of images.

    An engine handles the events of the places (sites and ports) that its rank owns. Events for other places come out of
    ``advance``; the engine that owns them takes them through ``deliver``. With one rank that owns everything, ``run``
    is all there is.
    """

    def __init__(self, tables: Tables, n_images: int, sink: TimingSink) -> None:
        self.tables = tables
        #: Whether ``advance`` stopped where credits or acknowledgements matter that are not yet known here.
        self.lacks_news = False
        self._sink = sink
        # Bounds what one event can cause: the actors of one site start, and one actor's channels move their tokens.
        per_site = np.diff(tables.site_start).max(initial=0)
        actors = tables.actors
        fan = (actors["in_end"] - actors["in_start"] + actors["out_end"] - actors["out_start"]).max(initial=0)
        burst_limit = tables.queues["limit"].max(initial=0)
        self._margin = int(per_site + 2 * fan * int(tables.channels["slots"].max(initial=0)) + burst_limit + 16)
        self._state = initial_state(tables, n_images, RECORD_CAPACITY + self._margin)
        self._reserve("heap", len(actors))  # at the start every site acts at once
        self._reserve("outbox")

    @property
    def state(self) -> State:
        """Where everything stands, for the promises derived from it; to be read only."""
        return self._state

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
        return bool((self._state.actors["fired"] == self._state.actors["target"]).all())

    @property
    def port_totals(self) -> PortTotals:
        """Traffic per port so far."""
        mine = self._state.owned[self.tables.n_sites :]
        ports = self._state.ports[mine]
        totals = (ports[name].copy() for name in ("busy_ps", "n_bytes", "n_bursts"))
        return PortTotals(self.tables.port_id[mine], *totals)

    def deliver(self, rows: NDArray[np.int64], source: int = -1) -> None:
        """Take events, rows as ``advance`` returns them, that rank ``source`` sent to places of this one.

        Raises:
            CausalityError: an event lies before the time already reached, or belongs elsewhere; names both ends.
        """
        self._reserve("heap", len(rows))
        if self._state.counts[N_TRANSFERS] + len(rows) > len(self._state.transfers) - self._margin:
            self.flush()
        failed = kernel.deliver(self.tables, self._state, rows)
        if failed >= 0:
            time_ps, place, rank = int(rows[failed, 0]), int(rows[failed, 1] >> 3), self.tables.rank
            raise CausalityError(
                f"rank {source} sent an event for place {place} at {time_ps} ps, which rank {rank} cannot take: it has "
                f"arrived at {self.now_ps} ps{'' if time_ps < self.now_ps else ' and does not own the place'}"
            )

    def expect_echoes(
        self, entry_start: NDArray[np.int64], echo_ps: NDArray[np.int64], answer_echo_ps: NDArray[np.int64]
    ) -> None:
        """Keep behind what bursts sent to other ranks can cause here (see ``Border``)."""
        self._state = self._state._replace(entry_start=entry_start, echo_ps=echo_ps, answer_echo_ps=answer_echo_ps)

    def advance(self, horizon_ps: int) -> Sent:
        """Handle own events before ``horizon_ps``; return the events meant for other engines' places.

        Stops earlier where bursts that it has sent out can come back (see ``expect_echoes``), and where it depends on
        credits or acknowledgements that another rank may have sent (``lacks_news``).
        """
        sent: list[Sent] = []
        while True:
            horizon_ps = min([horizon_ps, *(int(each.echo_ps.min()) for each in sent[-1:])])
            reason = kernel.advance(self.tables, self._state, horizon_ps, self._margin)
            if reason == kernel.CAUSALITY:
                raise CausalityError(f"rank {self.tables.rank}: time would run backwards at {self.now_ps} ps")
            if self._state.counts[N_OUTBOX]:
                sent.append(self._take_outbox())
            if reason == kernel.HEAP_FULL:
                self._reserve("heap")
            elif reason == kernel.RECORDS_FULL:
                self.flush()
            elif reason in {kernel.DONE, kernel.NO_NEWS}:
                self.lacks_news = reason == kernel.NO_NEWS
                break
        if len(sent) == 1:
            return sent[0]
        nothing = Sent(np.empty((0, EVENT_FIELDS), np.int64), *(np.empty(0, np.int64) for _ in range(3)))
        return Sent(*(np.concatenate(column) for column in zip(nothing, *sent, strict=True)))

    def run(self) -> None:
        """Time the whole batch on an engine that owns everything, and hand all records to the sink.

        Raises:
            ProgramError: nothing can fire although firings are left.
        """
        self.advance(END_OF_TIME_PS)
        self.finish()

    def finish(self) -> None:
        """Hand the last records to the sink when no event is left.

        Raises:
            ProgramError: nothing can fire although firings are left.
        """
        self.flush()
        if not self.finished:
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

    def _take_outbox(self) -> Sent:
        n_rows = int(self._state.counts[N_OUTBOX])
        sent = Sent(*(np.empty(shape, np.int64) for shape in ((n_rows, EVENT_FIELDS), n_rows, n_rows, n_rows)))
        kernel.take_outbox(self.tables, self._state, *sent)
        return sent

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
