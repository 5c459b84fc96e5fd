"""One round of a rank, compiled: take what has come, go as far as promises allow, put messages together.

A rank goes to the *horizon*: before it nothing from elsewhere changes what happens here. Credits and acknowledgements
do so only where something waits for them; and bursts can come back that a peer has not yet answered. On a long way it
pauses to tell its peers how far it has come: otherwise each would stand still while the other goes.
"""

from collections.abc import Callable
from typing import cast

import numba as nb
import numpy as np
from numpy.typing import NDArray

from emulator.program.lower import Tables
from emulator.timing.border import Border
from emulator.timing.bounds import Bounds
from emulator.timing.compiled import compiled
from emulator.timing.events import PORT, SENDING, echo
from emulator.timing.kernel import DONE, NO_NEWS, PAUSED, REFUSED, advance
from emulator.timing.links import COMPUTING_US, N_ROUNDS, Links
from emulator.timing.messages import take_all, write
from emulator.timing.promises import promise
from emulator.timing.state import N_EVENTS, N_HEAP, N_OUTBOX, NEVER, PATIENCE, PAUSE_AT, State

#: A rank tells how far it has come after so many events, or half as many as it has actors...
MOST_EVENTS = 8192
#: ...or half way to its horizon, after at least so many...
LEAST_EVENTS = 512
#: ...or, where a peer waits, so many after the first that has caused one elsewhere.
FEW_EVENTS = 32

#: Processor time of this process in microseconds, from the C library.
_clock_us = cast("Callable[[], int]", nb.types.ExternalFunction("clock", nb.types.int64()))


@compiled
def is_under_way(s: State, channel: int) -> bool:
    """Tell whether bursts of a channel await their acknowledgements."""
    state = s.channels[channel]
    return bool(state.sent > state.acked or (state.sent == state.acked and state.sent_bytes > state.acked_bytes))


@compiled
def note_news(t: Tables, s: State, b: Border, lk: Links) -> None:
    """Tell the engine until when it knows all credits and acknowledgements, of bursts not yet sent out, too."""
    for i in range(len(b.granted)):
        s.grant_ps[b.granted[i]] = lk.clock_ps[b.grant_flow[b.granted[i]]]
    for i in range(len(b.answered)):
        s.answer_ps[lk.answered_queue[i]] = NEVER
    for i in range(len(b.answered)):
        channel, queue = b.answered[i], lk.answered_queue[i]
        known_ps = min(lk.clock_ps[b.answered_flow[i]], lk.state[lk.answered_link[i]].answer_ps)
        s.answered_ps[channel] = known_ps
        if is_under_way(s, channel):
            s.answer_ps[queue] = min(s.answer_ps[queue], known_ps)
    for i in range(s.counts[N_OUTBOX]):
        if s.outbox[i, 1] & 7 == PORT and t.channels[s.outbox[i, 2] >> 32].producer >= 0:
            queue = t.channels[s.outbox[i, 2] >> 32].queue
            s.answer_ps[queue] = min(s.answer_ps[queue], echo(s, s.answer_echo_ps, s.outbox[i]))


@compiled
def note_what_matters(t: Tables, s: State, b: Border, lk: Links) -> None:
    """Note for which queues acknowledgements matter: they are held up, or have a channel without room."""
    for i in range(len(b.answered)):
        lk.matters[lk.answered_queue[i]] = s.queues[lk.answered_queue[i]].activity == SENDING
    for i in range(len(b.answered)):
        if s.channels[b.answered[i]].slots_used >= t.channels[b.answered[i]].slots:
            lk.matters[lk.answered_queue[i]] = 1


@compiled
def returning_ps(s: State, lk: Links) -> int:
    """Return when a burst that went out can come back, of those a peer has not answered and those not yet sent."""
    earliest = NEVER
    for link in range(len(lk.state)):
        earliest = min(earliest, lk.state[link].back_ps)
    for i in range(s.counts[N_OUTBOX]):
        if s.outbox[i, 1] & 7 == PORT:
            earliest = min(earliest, echo(s, s.echo_ps, s.outbox[i]))
    return earliest


@compiled
def horizon(t: Tables, s: State, b: Border, lk: Links) -> int:
    """Return the time before which nothing from elsewhere changes what happens here."""
    earliest = returning_ps(s, lk)
    for flow in range(len(lk.clock_ps)):
        if not b.news_in[flow]:
            earliest = min(earliest, lk.clock_ps[flow])
    for i in range(len(b.granted)):
        if s.channels[b.granted[i]].unsent > 0:
            earliest = min(earliest, s.grant_ps[b.granted[i]])
    note_what_matters(t, s, b, lk)
    for i in range(len(b.answered)):
        queue = lk.answered_queue[i]
        if lk.matters[queue] and s.answer_ps[queue] < earliest and is_under_way(s, b.answered[i]):
            earliest = s.answer_ps[queue]
    return earliest


@compiled
def go(t: Tables, s: State, b: Border, lk: Links, margin: int, outbox_margin: int) -> int:
    """Go as far as promises allow, or until it is time to tell peers; returns why it stopped.

    On the way acknowledgements that have come are handled, and what was unknown until then may not matter any more: it
    is worked out anew before this rank waits for others.
    """
    began = s.counts[N_EVENTS]
    s.counts[PAUSE_AT] = began + max(MOST_EVENTS, len(t.actors) // 2) if len(lk.state) > 0 else NEVER
    s.counts[PATIENCE] = NEVER
    for link in range(len(lk.state)):
        if lk.state[link].peer_waits:
            s.counts[PATIENCE] = FEW_EVENTS
    limit = horizon(t, s, b, lk)
    now = s.heap[0, 0] if s.counts[N_HEAP] > 0 else 0
    target = now + (limit - now) // 2 if now < limit < NEVER else limit
    while True:
        before = s.counts[N_EVENTS]
        reason = advance(t, s, target, margin, outbox_margin)
        if reason != DONE and (reason != NO_NEWS or s.counts[N_EVENTS] == before):
            return int(reason)
        note_news(t, s, b, lk)
        target = horizon(t, s, b, lk)
        if s.counts[N_HEAP] == 0 or s.heap[0, 0] >= target:
            return DONE
        if s.counts[N_EVENTS] - began >= LEAST_EVENTS:
            return PAUSED


@compiled
def note_needs(t: Tables, s: State, b: Border, lk: Links, lacks_news: bool) -> None:  # noqa: FBT001 (compiled)
    """Note from which peers this rank needs news of credits and acknowledgements to go on."""
    lk.needs[:] = 0
    for i in range(len(b.granted)):
        state = s.channels[b.granted[i]]
        if state.unsent > 0 or (lacks_news and state.credit == 0):
            lk.needs[lk.link_in[b.grant_flow[b.granted[i]]]] = 1
    note_what_matters(t, s, b, lk)
    for i in range(len(b.answered)):
        if (lacks_news or lk.matters[lk.answered_queue[i]]) and is_under_way(s, b.answered[i]):
            lk.needs[lk.answered_link[i]] = 1


@compiled
def round_of(
    t: Tables, s: State, b: Border, w: Bounds, lk: Links, inbox: NDArray[np.int64], sizes: NDArray[np.int64],
    margin: int, outbox_margin: int,
) -> int:  # fmt: skip
    """Take messages, go on, and write what peers have to know to ``Links.outgoing``.

    Args:
        t: the program.
        s: where it stands.
        b: the border.
        w: working memory of the promises.
        lk: the links.
        inbox: (n_links, n_slots, words): messages from each peer, in a ring.
        sizes: (n_links, n_slots): their words, 0 for none and when taken; ``-1 - row`` if the event there is refused.
        margin: events or records that one event can cause.
        outbox_margin: events for other engines that one event can cause.

    Returns:
        Why it stopped. Unless it went to the horizon or paused nothing is written; the caller acts and calls again.
    """
    began = _clock_us()
    if not take_all(t, s, b, lk, inbox, sizes):
        return REFUSED
    note_news(t, s, b, lk)
    reason = go(t, s, b, lk, margin, outbox_margin)
    lk.totals[COMPUTING_US] += _clock_us() - began
    if reason not in (DONE, NO_NEWS, PAUSED):
        return reason
    lk.totals[N_ROUNDS] += 1
    promise(t, s, b, w, lk.clock_ps, horizon(t, s, b, lk), returning_ps(s, lk), lk.latest_ps)
    note_needs(t, s, b, lk, reason == NO_NEWS)
    for flow in range(len(lk.latest_ps)):
        lk.latest_ps[flow] = min(lk.latest_ps[flow], NEVER)
    # What a rank with several peers is told it may have to tell another that waits.
    next_ps = 0 if len(lk.state) > 1 else s.heap[0, 0] if s.counts[N_HEAP] > 0 else NEVER
    for link in range(len(lk.state)):
        if not lk.state[link].has_said_all:
            write(t, s, b, lk, link, reason != PAUSED, next_ps)
        else:
            lk.state[link].n_words = 0
    s.counts[N_OUTBOX] = 0
    return reason
