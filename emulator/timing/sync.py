"""Run the timing plane over ranks: conservative, without rollback and without a barrier.

Every rank advances to the least of what its peers have promised. When it can go no further it sends each peer what has
come up for it, and with it promises of its own (``promises``): nothing on this flow before t. A message is a header,
the promises and rows of events, all int64; messages of a pair do not overtake each other, and where a batch takes
several the promises come with the last. A rank leaves when it has promised the end of time to every peer and has been
promised it by all.
"""

import time
from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from emulator.parallel.comm import Comm, Request
from emulator.program.lower import Tables, no_tables
from emulator.timing import kernel
from emulator.timing.border import border_of
from emulator.timing.engine import END_OF_TIME_PS, Sent, TimingEngine
from emulator.timing.promises import promise, working_memory
from emulator.timing.records import TimingSink
from emulator.timing.state import EVENT_FIELDS

#: Events per message at most; a longer batch goes in several.
BATCH_EVENTS = 4096
#: Words before the promises: their number, messages answered, when the bursts of this one can come back and when they
#: can be acknowledged, is it the last of its batch, the last of all, and are news of credits and the like wanted.
_HEADER = 7
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
    """The connection to one peer; clocks and promises are views of the rank's, for the flows of this pair.

    Attributes:
        clock_ps: what the peer has promised.
        promised_ps: what the peer has been promised.
        buffer, receiving: the message awaited; None if none will come.
        sending: messages under way.
        has_said_all: whether the last message is sent.
        is_news: per flow to the peer, whether it is of credits or acknowledgements, which matter only now and then.
        wants, peer_wants: whether this rank or the peer waits for news of such, as it has last told.
        owes_answer: whether bursts have come since the last message that will be acknowledged to the peer.
        n_sent, n_taken: messages so far.
        unanswered: messages whose bursts the peer has not yet answered, by number, when these can come back and when
            they can be acknowledged.
        echoes_ps: when bursts that came from the peer can come back to it; they count as promised until answered.
    """

    peer: int
    clock_ps: NDArray[np.int64]
    promised_ps: NDArray[np.int64]
    buffer: NDArray[np.int64]
    receiving: Request | None
    is_news: NDArray[np.bool_]
    has_said_all: bool = False
    sending: list[tuple[Request, NDArray[np.int64]]] = field(default_factory=list)
    wants: bool = False
    peer_wants: bool = False
    owes_answer: bool = False
    n_sent: int = 0
    n_taken: int = 0
    unanswered: deque[tuple[int, int, int]] = field(default_factory=deque)
    echoes_ps: int = END_OF_TIME_PS

    @property
    def unanswered_ps(self) -> tuple[int, int]:
        """When an unanswered burst can come back, and when one can be acknowledged, at the earliest."""
        back_ps = min((echo_ps for _, echo_ps, _ in self.unanswered), default=END_OF_TIME_PS)
        return back_ps, min((answer_ps for _, _, answer_ps in self.unanswered), default=END_OF_TIME_PS)

    def helps(self, latest_ps: NDArray[np.int64]) -> bool:
        """Whether new promises let the peer go further: for credits only where it lacks some."""
        hard, before_ps = ~self.is_news, self.promised_ps
        if latest_ps[hard].min(initial=END_OF_TIME_PS) > min(
            int(before_ps[hard].min(initial=END_OF_TIME_PS)), self.echoes_ps
        ):
            return True
        return self.peer_wants and (self.owes_answer or bool((latest_ps > before_ps)[self.is_news].any()))


class RankTiming:
    """The timing plane of one rank: an engine on its part of the program, and its links to its peers."""

    def __init__(self, tables: Tables, n_images: int, sink: TimingSink, comm: Comm) -> None:
        self.engine = TimingEngine(tables, n_images, sink)
        self.counts = SyncCounts()
        self._comm = comm
        self._border = border_of(tables)
        self._memory = working_memory(tables, self._border)
        self.engine.expect_echoes(self._border.entry_start, self._border.echo_ps, self._border.answer_echo_ps)
        self._clock_ps = np.zeros(self._border.in_start[-1], np.int64)
        self._promised_ps = np.zeros(self._border.out_start[-1], np.int64)
        self._latest_ps = np.zeros_like(self._promised_ps)
        self._links = [self._link_to(i) for i in range(len(self._border.peers))]
        self._answered_queue = tables.channels["queue"][self._border.answered]
        self._answered_link = np.searchsorted(self._border.in_start, self._border.answered_flow, side="right") - 1
        self._note_news()

    def run(self) -> None:
        """Time the whole batch together with the other ranks.

        Raises:
            CausalityError: an event came too late; names both ends.
            ProgramError: nothing can fire although firings are left.
        """
        while True:
            began = time.perf_counter()
            sent = self._advance()
            computed = time.perf_counter()
            self._send(sent)
            self.counts.n_rounds += 1
            self.counts.computing_s += computed - began
            self.counts.packing_s += time.perf_counter() - computed
            if all(link.has_said_all and link.receiving is None for link in self._links):
                break
            self._receive()
        self._comm.wait(*(request for link in self._links for request, _ in link.sending))
        self.engine.finish()

    def _advance(self) -> Sent:
        """Go as far as promises allow; what lacked credit or an acknowledgement on the way may have got it since."""
        parts: list[Sent] = []
        horizon_ps = self._horizon_ps
        while True:
            parts.append(self.engine.advance(horizon_ps))
            horizon_ps = min(self._horizon_ps, *(int(each.echo_ps.min(initial=END_OF_TIME_PS)) for each in parts))
            if self.engine.lacks_news or self.engine.next_ps >= horizon_ps:
                return parts[0] if len(parts) == 1 else Sent(*(np.concatenate(c) for c in zip(*parts, strict=True)))

    @property
    def _horizon_ps(self) -> int:
        """Before this nothing from elsewhere changes what happens here.

        Credits and acknowledgements do so only where something waits for them; and bursts can come back that a peer
        has not yet answered.
        """
        clock_ps = int(self._clock_ps[~self._border.news_in].min(initial=END_OF_TIME_PS))
        state, granted = self.engine.state, self._border.granted
        grant_ps = int(state.grant_ps[granted[state.channels["unsent"][granted] > 0]].min(initial=END_OF_TIME_PS))
        answer_ps = int(state.answer_ps[self._answered_queue[self._awaited()]].min(initial=END_OF_TIME_PS))
        return min(clock_ps, grant_ps, answer_ps, self._echo_ps)

    def _under_way(self) -> NDArray[np.bool_]:
        """Tell for which channels bursts await their acknowledgements from another rank."""
        channels = self.engine.state.channels[self._border.answered]
        is_within = (channels["sent"] == channels["acked"]) & (channels["sent_bytes"] > channels["acked_bytes"])
        return np.asarray((channels["sent"] > channels["acked"]) | is_within)

    def _awaited(self) -> NDArray[np.bool_]:
        """Tell for which channels acknowledgements matter: their queue is held up, or has a channel without room."""
        state, answered = self.engine.state, self._border.answered
        is_full = state.channels["slots_used"][answered] >= self.engine.tables.channels["slots"][answered]
        matters = state.queues["activity"] == kernel.SENDING
        matters[self._answered_queue[is_full]] = True
        return np.asarray(matters[self._answered_queue] & self._under_way())

    @property
    def _echo_ps(self) -> int:
        """When the echo of an unanswered burst can come at the earliest, from any peer."""
        return min((link.unanswered_ps[0] for link in self._links), default=END_OF_TIME_PS)

    def _news_needed(self) -> NDArray[np.int64]:
        """Return the flows of credits and acknowledgements without whose news this rank cannot go on."""
        state, granted = self.engine.state, self._border.granted
        needs_grant, needs_answer = state.channels["unsent"][granted] > 0, self._awaited()
        if self.engine.lacks_news:
            needs_grant |= state.channels["credit"][granted] == 0
            needs_answer |= self._under_way()
        flows = (self._border.grant_flow[granted[needs_grant]], self._border.answered_flow[needs_answer])
        return np.concatenate(flows)

    def _note_news(self) -> None:
        """Tell the engine until when it knows all credits and acknowledgements."""
        state, border = self.engine.state, self._border
        state.grant_ps[border.granted] = self._clock_ps[border.grant_flow[border.granted]]
        unanswered_ps = np.array([link.unanswered_ps[1] for link in self._links], np.int64)
        known_ps = np.minimum(self._clock_ps[border.answered_flow], unanswered_ps[self._answered_link])
        state.answered_ps[border.answered] = known_ps
        state.answer_ps[self._answered_queue] = END_OF_TIME_PS
        under_way = self._under_way()
        np.minimum.at(state.answer_ps, self._answered_queue[under_way], known_ps[under_way])

    def _link_to(self, index: int) -> _Link:
        border, peer = self._border, int(self._border.peers[index])
        clock_ps = self._clock_ps[border.in_start[index] : border.in_start[index + 1]]
        promised_ps = self._promised_ps[border.out_start[index] : border.out_start[index + 1]]
        buffer = np.empty(_HEADER + len(clock_ps) + BATCH_EVENTS * EVENT_FIELDS, np.int64)
        receiving = self._comm.irecv(buffer, peer, _TAG, exact=False)
        is_news = border.news_out[border.out_start[index] : border.out_start[index + 1]]
        return _Link(peer, clock_ps, promised_ps, buffer, receiving, is_news)

    def _receive(self) -> None:
        """Wait for a message, and take all that have come."""
        began = time.perf_counter()
        self._comm.wait_until(lambda: any(link.receiving is not None and link.receiving.test() for link in self._links))
        waited = time.perf_counter()
        for link in self._links:
            while link.receiving is not None and link.receiving.test():
                self._take(link, link.receiving.n_bytes // 8)
        self._note_news()
        self.counts.waiting_s += waited - began
        self.counts.packing_s += time.perf_counter() - waited

    def _take(self, link: _Link, n_words: int) -> None:
        n_promises, n_answered, echo_ps, answer_ps, is_whole, is_last, wants = map(int, link.buffer[:_HEADER])
        promises, rows = np.split(link.buffer[_HEADER:n_words], [n_promises])
        link.n_taken += 1
        link.echoes_ps = min(link.echoes_ps, echo_ps)
        link.owes_answer |= answer_ps < END_OF_TIME_PS
        if len(rows):
            self.engine.deliver(rows.reshape(-1, EVENT_FIELDS), link.peer)
        if is_whole:
            link.clock_ps[:] = promises
            link.peer_wants = bool(wants)
            while link.unanswered and link.unanswered[0][0] <= n_answered:
                link.unanswered.popleft()
        link.receiving = None if is_last else self._comm.irecv(link.buffer, link.peer, _TAG, exact=False)

    def _send(self, sent: Sent) -> None:
        """Send every peer its events and new promises, where there are any or they let it go further."""
        echo_ps = min(self._echo_ps, int(sent.echo_ps.min(initial=END_OF_TIME_PS)))
        promise(
            self.engine.tables, self.engine.state, self._border, self._memory, self._clock_ps,
            min(self._horizon_ps, echo_ps), echo_ps, self._latest_ps,
        )  # fmt: skip
        needed = self._news_needed()
        np.minimum(self._latest_ps, END_OF_TIME_PS, out=self._latest_ps)
        for i, link in enumerate(self._links):
            latest_ps = self._latest_ps[self._border.out_start[i] : self._border.out_start[i + 1]]
            if link.has_said_all:
                continue
            chosen = sent.owner == link.peer
            # Once neither has anything to say of its own accord, there is nothing to come back either.
            echoes = (sent.echo_ps[chosen], sent.answer_ps[chosen], np.array(link.unanswered_ps))
            times = (latest_ps, link.clock_ps, *echoes)
            link.has_said_all = all(int(each.min(initial=END_OF_TIME_PS)) == END_OF_TIME_PS for each in times)
            begin, end = self._border.in_start[i : i + 2]
            wants = bool(((needed >= begin) & (needed < end)).any())
            if chosen.any() or link.has_said_all or link.helps(latest_ps) or wants > link.wants:
                link.wants = wants
                link.promised_ps[:] = latest_ps
                link.echoes_ps, link.owes_answer = END_OF_TIME_PS, False
                self._send_batch(link, Sent(*(column[chosen] for column in sent)))

    def _send_batch(self, link: _Link, sent: Sent) -> None:
        rows = sent.rows
        link.sending = [(request, message) for request, message in link.sending if not request.test()]
        self.counts.n_boundary_events += len(rows)
        self.counts.n_promises += not len(rows)
        for begin in range(0, max(len(rows), 1), BATCH_EVENTS):
            end = begin + BATCH_EVENTS
            is_whole = end >= len(rows)
            promises = link.promised_ps if is_whole else link.promised_ps[:0]
            echoes = [int(each[begin:end].min(initial=END_OF_TIME_PS)) for each in (sent.echo_ps, sent.answer_ps)]
            header = (len(promises), link.n_taken, *echoes, is_whole, is_whole and link.has_said_all, link.wants)
            message = np.concatenate((header, promises, rows[begin:end].ravel()))
            link.sending.append((self._comm.isend(message, link.peer, _TAG), message))
            link.n_sent += 1
            if min(echoes) < END_OF_TIME_PS:
                link.unanswered.append((link.n_sent, echoes[0], echoes[1]))
            self.counts.n_messages += 1


def compile_timing() -> None:
    """Compile all that the timing plane needs, or load it from the cache; one rank does so for the others."""
    tables = no_tables()
    engine = TimingEngine(tables, 0, _NoRecords())
    engine.deliver(np.empty((0, EVENT_FIELDS), np.int64))
    sent = engine.advance(END_OF_TIME_PS)
    kernel.take_outbox(tables, engine.state, *sent)
    times = np.empty(0, np.int64)
    border = border_of(tables)
    promise(tables, engine.state, border, working_memory(tables, border), times, 0, 0, times)


class _NoRecords:
    def append(self, table: str, columns: dict[str, NDArray[np.int64]]) -> None:
        """Take nothing: there is nothing."""
