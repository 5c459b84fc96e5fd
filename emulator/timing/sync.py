"""Run the timing plane over ranks: conservative, without rollback and without a barrier.

Every rank goes as far as its peers' promises allow (``promises``: nothing on this flow before t), in ``rounds``. In a
round it tells each peer what has come up for it, with promises of its own, where that lets the peer go further. When it
can go no further it waits for a message. A rank leaves when it has promised the end of time to every peer and has been
promised it by all.
"""

import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from emulator.parallel.comm import Comm, Request
from emulator.program.lower import Tables, no_tables
from emulator.timing import kernel
from emulator.timing.border import border_of
from emulator.timing.bounds import working_memory
from emulator.timing.engine import TimingEngine
from emulator.timing.links import (
    COMPUTING_US,
    HEADER,
    IS_LAST,
    N_BOUNDARY_EVENTS,
    N_MESSAGES,
    N_PROMISES,
    N_ROUNDS,
    links_of,
    message_words,
)
from emulator.timing.records import TimingSink
from emulator.timing.rounds import round_of
from emulator.timing.state import EVENT_FIELDS

#: Events for other ranks that a round collects at least before it has to send them.
BATCH_EVENTS = 512
#: Messages of one peer that a round can take.
_N_SLOTS = 8
_TAG = 1


@dataclass(slots=True)
class SyncCounts:
    """What synchronisation took on one rank.

    Attributes:
        n_boundary_events: events sent to other ranks.
        n_messages: messages sent.
        n_promises: messages that carried a promise and no event.
        n_rounds: times that the rank stopped to tell its peers how far it is.
        computing_s, packing_s, waiting_s: wall time handling events, with promises and messages, and waiting.
    """

    n_boundary_events: int = 0
    n_messages: int = 0
    n_promises: int = 0
    n_rounds: int = 0
    computing_s: float = 0.0
    packing_s: float = 0.0
    waiting_s: float = 0.0


@dataclass(slots=True)
class _Mail:
    """Messages of one peer: the receive that is posted, where in its ring, and the sends that are under way."""

    receiving: Request | None = None
    slot: int = 0
    has_heard_all: bool = False
    sending: list[tuple[Request, NDArray[np.int64]]] = field(default_factory=list)


class RankTiming:
    """The timing plane of one rank: an engine on its part of the program, and its links to its peers."""

    def __init__(self, tables: Tables, n_images: int, sink: TimingSink, comm: Comm) -> None:
        self.engine = TimingEngine(tables, n_images, sink)
        self._comm = comm
        self._border = border_of(tables)
        self._memory = working_memory(tables, self._border)
        n_rows = BATCH_EVENTS + self.engine.outbox_margin
        self.engine.share(n_rows, self._border)
        self._links = links_of(tables, self._border, n_rows)
        self._peers: list[int] = self._border.peers.tolist()
        n_flows = np.diff(self._border.in_start)
        words = [message_words(n, r) for n, r in zip(n_flows, self._swap_sizes(n_rows), strict=True)]
        self._inbox = np.zeros((len(words), _N_SLOTS, max(words, default=0)), np.int64)
        self._sizes = np.zeros((len(words), _N_SLOTS), np.int64)
        self._mail = [_Mail() for _ in words]
        self._collect()
        self._waiting_s = self._total_s = 0.0

    @property
    def counts(self) -> SyncCounts:
        """What synchronisation has taken so far."""
        totals = self._links.totals
        computing_s = float(totals[COMPUTING_US]) / 1e6
        return SyncCounts(
            n_boundary_events=int(totals[N_BOUNDARY_EVENTS]),
            n_messages=int(totals[N_MESSAGES]),
            n_promises=int(totals[N_PROMISES]),
            n_rounds=int(totals[N_ROUNDS]),
            computing_s=computing_s,
            packing_s=max(0.0, self._total_s - self._waiting_s - computing_s),
            waiting_s=self._waiting_s,
        )

    def run(self) -> None:
        """Time the whole batch together with the other ranks.

        Raises:
            CausalityError: an event came too late; names both ends.
            ProgramError: nothing can fire although firings are left.
        """
        began = time.perf_counter()
        while True:
            reason = self._go_round()
            self._send()
            self._collect()
            if reason == kernel.PAUSED or self._sizes.any():
                continue
            if all(mail.has_heard_all for mail in self._mail) and self._links.state["has_said_all"].all():
                break
            self._wait()
            self._collect()
        self._comm.wait(*(request for mail in self._mail for request, _ in mail.sending))
        self._total_s = time.perf_counter() - began
        self.engine.finish()

    def _go_round(self) -> int:
        """Go one round; returns why it ended."""
        engine = self.engine
        engine.make_room(int(self._sizes.sum()) // EVENT_FIELDS)
        while True:
            reason = round_of(
                engine.tables, engine.state, self._border, self._memory, self._links, self._inbox, self._sizes,
                engine.margin, engine.outbox_margin,
            )  # fmt: skip
            if reason == kernel.REFUSED:
                self._refuse()
            if reason in {kernel.DONE, kernel.PAUSED, kernel.NO_NEWS}:
                return reason
            engine.resolve(reason)

    def _refuse(self) -> None:
        link, slot = (int(each[0]) for each in np.nonzero(self._sizes < 0))
        row = HEADER + int(np.diff(self._border.in_start)[link]) + (-1 - int(self._sizes[link, slot])) * EVENT_FIELDS
        self.engine.refuse(self._inbox[link, slot, row:], self._peers[link])

    def _send(self) -> None:
        """Send what the round has written."""
        for link, n_words in enumerate(self._links.state["n_words"].tolist()):
            mail = self._mail[link]
            if n_words:
                mail.sending = [(request, message) for request, message in mail.sending if not request.test()]
                message = self._links.outgoing[link, :n_words].copy()
                mail.sending.append((self._comm.isend(message, self._peers[link], _TAG), message))

    def _wait(self) -> None:
        """Wait until a message has come."""
        began = time.perf_counter()
        self._comm.wait_until(self._has_come)
        self._waiting_s += time.perf_counter() - began

    def _has_come(self) -> bool:
        return any(mail.receiving is not None and mail.receiving.test() for mail in self._mail)

    def _collect(self) -> None:
        """Note all that has come, for the next round to take, and leave one receive posted per peer."""
        for link, mail in enumerate(self._mail):
            while not mail.has_heard_all and not self._sizes[link, mail.slot]:
                if mail.receiving is None:
                    buffer = self._inbox[link, mail.slot]
                    mail.receiving = self._comm.irecv(buffer, self._peers[link], _TAG, exact=False)
                if not mail.receiving.test():
                    break
                self._sizes[link, mail.slot] = mail.receiving.n_bytes // 8
                mail.has_heard_all = bool(self._inbox[link, mail.slot, IS_LAST])
                mail.receiving, mail.slot = None, (mail.slot + 1) % _N_SLOTS

    def _swap_sizes(self, n_rows: int) -> list[int]:
        """Tell every peer how many events a message of ours can carry; returns what they tell."""
        mine, theirs = np.array([n_rows]), [np.zeros(1, np.int64) for _ in self._peers]
        receiving = [self._comm.irecv(theirs[i], peer, _TAG) for i, peer in enumerate(self._peers)]
        self._comm.wait(*receiving, *(self._comm.isend(mine, peer, _TAG) for peer in self._peers))
        return [int(each[0]) for each in theirs]


def compile_timing() -> None:
    """Compile all that the timing plane needs, or load it from the cache; one rank does so for the others."""
    tables = no_tables()
    engine = TimingEngine(tables, 0, _NoRecords())
    engine.run()
    border = border_of(tables)
    engine.share(BATCH_EVENTS, border)
    memory, links = working_memory(tables, border), links_of(tables, border, 0)
    inbox, sizes = np.zeros((0, 0, 0), np.int64), np.zeros((0, 0), np.int64)
    round_of(tables, engine.state, border, memory, links, inbox, sizes, engine.margin, engine.outbox_margin)


class _NoRecords:
    def append(self, table: str, columns: dict[str, NDArray[np.int64]]) -> None:
        """Take nothing: there is nothing."""
