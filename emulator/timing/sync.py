"""Run the timing plane over ranks: conservative, without rollback and without a barrier.

Every rank advances to the least of what its peers have promised. When it can go no further it sends each peer what has
come up for it, and with it promises of its own (``promises``): nothing on this flow before t. A message is their number,
the promises and rows of events, all int64; messages of a pair do not overtake each other, and where a batch takes
several the promises come with the last. A rank leaves when it has promised the end of time to every peer and has been
promised it by all.
"""

import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from emulator.errors import CausalityError
from emulator.parallel.comm import Comm, Request
from emulator.program.lower import Tables
from emulator.timing.border import border_of
from emulator.timing.engine import END_OF_TIME_PS, Sent, TimingEngine
from emulator.timing.promises import promise, working_memory
from emulator.timing.records import TimingSink
from emulator.timing.state import EVENT_FIELDS

#: Events per message at most; a longer batch goes in several.
BATCH_EVENTS = 4096
_TAG = 1


@dataclass(slots=True)
class SyncCounts:
    """What synchronisation took on one rank.

    Attributes:
        n_boundary_events: events sent to other ranks.
        n_messages: messages sent.
        n_promises: messages that carried a promise and no event.
        n_rounds: times that the rank came to its horizon.
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
class _Link:
    """The connection to one peer; clocks and promises are views of the rank's, for the flows of this pair."""

    peer: int
    clock_ps: NDArray[np.int64]
    promised_ps: NDArray[np.int64]
    buffer: NDArray[np.int64]
    receiving: Request | None
    sending: list[tuple[Request, NDArray[np.int64]]] = field(default_factory=list)


class RankTiming:
    """The timing plane of one rank: an engine on its part of the program, and its links to its peers."""

    def __init__(self, tables: Tables, n_images: int, sink: TimingSink, comm: Comm) -> None:
        self.engine = TimingEngine(tables, n_images, sink)
        self.counts = SyncCounts()
        self._comm = comm
        self._border = border_of(tables)
        self._memory = working_memory(tables)
        self._clock_ps = np.zeros(self._border.in_start[-1], np.int64)
        self._promised_ps = np.zeros(self._border.out_start[-1], np.int64)
        self._latest_ps = np.zeros_like(self._promised_ps)
        self._links = [self._link_to(i) for i in range(len(self._border.peers))]

    def run(self) -> None:
        """Time the whole batch together with the other ranks.

        Raises:
            CausalityError: an event came too late or was sent too early; names both ends.
            ProgramError: nothing can fire although firings are left.
        """
        while True:
            began = time.perf_counter()
            sent = self.engine.advance(int(self._clock_ps.min(initial=END_OF_TIME_PS)))
            computed = time.perf_counter()
            self._send(sent)
            self.counts.n_rounds += 1
            self.counts.computing_s += computed - began
            self.counts.packing_s += time.perf_counter() - computed
            if self._clock_ps.min(initial=END_OF_TIME_PS) == END_OF_TIME_PS == self._promised_ps.min(
                initial=END_OF_TIME_PS
            ):
                break
            self._receive()
        self._comm.wait(*(request for link in self._links for request, _ in link.sending))
        self.engine.finish()

    def _link_to(self, index: int) -> _Link:
        border, peer = self._border, int(self._border.peers[index])
        clock_ps = self._clock_ps[border.in_start[index] : border.in_start[index + 1]]
        promised_ps = self._promised_ps[border.out_start[index] : border.out_start[index + 1]]
        buffer = np.empty(1 + len(clock_ps) + BATCH_EVENTS * EVENT_FIELDS, np.int64)
        receiving = self._comm.irecv(buffer, peer, _TAG, exact=False) if len(clock_ps) else None
        return _Link(peer, clock_ps, promised_ps, buffer, receiving)

    def _receive(self) -> None:
        """Wait for a message, and take all that have come."""
        began = time.perf_counter()
        self._comm.wait_until(lambda: any(link.receiving is not None and link.receiving.test() for link in self._links))
        waited = time.perf_counter()
        for link in self._links:
            while link.receiving is not None and link.receiving.test():
                self._take(link, link.receiving.n_bytes // 8)
        self.counts.waiting_s += waited - began
        self.counts.packing_s += time.perf_counter() - waited

    def _take(self, link: _Link, n_words: int) -> None:
        n_promises = int(link.buffer[0])
        link.clock_ps[:n_promises] = link.buffer[1 : 1 + n_promises]
        if n_words > 1 + n_promises:
            self.engine.deliver(link.buffer[1 + n_promises : n_words].reshape(-1, EVENT_FIELDS), link.peer)
        is_last = n_promises > 0 and link.clock_ps.min() == END_OF_TIME_PS
        link.receiving = None if is_last else self._comm.irecv(link.buffer, link.peer, _TAG, exact=False)

    def _send(self, sent: Sent) -> None:
        """Send every peer its events and new promises, where there are any or they let it go further."""
        promise(self.engine.tables, self.engine.state, self._border, self._memory, self._clock_ps, self._latest_ps)
        np.clip(self._latest_ps, self._promised_ps, END_OF_TIME_PS, out=self._latest_ps)
        for i, link in enumerate(self._links):
            latest_ps = self._latest_ps[self._border.out_start[i] : self._border.out_start[i + 1]]
            if not len(latest_ps):
                continue
            rows = sent.rows[sent.owner == link.peer] if len(sent.rows) else sent.rows
            before_ps = int(link.promised_ps.min())
            if len(rows) and int(rows[:, 0].min()) < before_ps:
                raise CausalityError(
                    f"rank {self.engine.tables.rank} sends rank {link.peer} an event at {int(rows[:, 0].min())} ps, "
                    f"although it has promised none before {before_ps} ps"
                )
            if len(rows) or latest_ps.min() > before_ps:
                link.promised_ps[:] = latest_ps
                self._send_batch(link, rows)

    def _send_batch(self, link: _Link, rows: NDArray[np.int64]) -> None:
        link.sending = [(request, message) for request, message in link.sending if not request.test()]
        self.counts.n_boundary_events += len(rows)
        self.counts.n_promises += not len(rows)
        for begin in range(0, max(len(rows), 1), BATCH_EVENTS):
            batch = rows[begin : begin + BATCH_EVENTS].ravel()
            promises = link.promised_ps if begin + BATCH_EVENTS >= len(rows) else link.promised_ps[:0]
            message = np.concatenate(([len(promises)], promises, batch))
            link.sending.append((self._comm.isend(message, link.peer, _TAG), message))
            self.counts.n_messages += 1
