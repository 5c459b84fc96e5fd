"""Messages between ranks, compiled: taking one, telling whether one is worth sending, writing it (see ``links``)."""

import numpy as np
from numpy.typing import NDArray

from emulator.program.lower import Tables
from emulator.timing.border import Border
from emulator.timing.compiled import compiled
from emulator.timing.events import CREDIT, PORT, echo
from emulator.timing.kernel import deliver
from emulator.timing.links import (
    ANSWER,
    ANSWERED,
    ECHO,
    HEADER,
    IS_LAST,
    N_BOUNDARY_EVENTS,
    N_MESSAGES,
    N_PROMISES,
    NEXT,
    WAITS,
    WANTS,
    Links,
)
from emulator.timing.state import EVENT_FIELDS, N_OUTBOX, NEVER, State


@compiled
def forget(lk: Links, link: int, n_answered: int) -> None:
    """Forget the messages that the peer has answered."""
    state, entries = lk.state[link], lk.unanswered[link]
    n_over = 0
    while n_over < state.n_unanswered and entries[n_over, 0] <= n_answered:
        n_over += 1
    if n_over == 0:
        return
    state.n_unanswered -= n_over
    state.back_ps = state.answer_ps = NEVER
    for i in range(state.n_unanswered):
        for word in range(3):
            entries[i, word] = entries[i + n_over, word]
        state.back_ps = min(state.back_ps, entries[i, ECHO])
        state.answer_ps = min(state.answer_ps, entries[i, ANSWER])


@compiled
def take(t: Tables, s: State, b: Border, lk: Links, link: int, message: NDArray[np.int64], n_words: int) -> int:
    """Take a message; return the row of the first event that cannot be taken, or -1."""
    state, flow = lk.state[link], b.in_start[link]
    n_flows = b.in_start[link + 1] - flow
    state.n_taken += 1
    state.echoes_ps = min(state.echoes_ps, message[ECHO])
    state.owes_answer |= message[ANSWER] < NEVER
    state.peer_wants, state.peer_waits, state.peer_next_ps = message[WANTS], message[WAITS], message[NEXT]
    for i in range(n_flows):
        lk.clock_ps[flow + i] = message[HEADER + i]
    forget(lk, link, message[ANSWERED])
    return deliver(t, s, message[HEADER + n_flows : n_words].reshape(-1, EVENT_FIELDS))


@compiled
def take_all(
    t: Tables, s: State, b: Border, lk: Links, inbox: NDArray[np.int64], sizes: NDArray[np.int64]
) -> bool:  # fmt: skip
    """Take all messages that have come; False if one has an event that cannot be taken."""
    for link in range(len(sizes)):
        slot = lk.state[link].next_slot
        while sizes[link, slot] > 0:
            failed = take(t, s, b, lk, link, inbox[link, slot], sizes[link, slot])
            sizes[link, slot] = 0
            if failed >= 0:
                sizes[link, slot] = -1 - failed
                return False
            slot = lk.state[link].next_slot = (slot + 1) % sizes.shape[1]
    return True


@compiled
def helps(b: Border, lk: Links, link: int, waits: bool) -> bool:  # noqa: FBT001 (compiled)
    """Tell whether new promises let the peer go further: for credits only where it lacks some.

    A rank that ``waits`` itself tells all that is new, for the peer's answer may let it go on.

    That nothing more will leave is always worth telling: two peers with credits alone would wait for it in vain.
    """
    state = lk.state[link]
    before, after, has_news, is_over = state.echoes_ps, NEVER, False, True
    for flow in range(b.out_start[link], b.out_start[link + 1]):
        is_over &= lk.latest_ps[flow] >= NEVER
        if b.news_out[flow]:
            has_news |= lk.latest_ps[flow] > lk.promised_ps[flow]
        else:
            before, after = min(before, lk.promised_ps[flow]), min(after, lk.latest_ps[flow])
    if not waits:
        before = max(before, state.peer_next_ps)
    return bool(after > before or (state.peer_wants and (state.owes_answer or has_news)) or (is_over and has_news))


@compiled
def pack_rows(t: Tables, s: State, lk: Links, link: int, peer: int, start: int) -> int:
    """Put the events for a peer behind the first ``start`` words of its message, and when they can come back.

    Places and channels get their ids on the chip. Returns the words of the message.
    """
    message, n_words = lk.outgoing[link], start
    message[ECHO] = message[ANSWER] = NEVER
    for i in range(s.counts[N_OUTBOX]):
        event = s.outbox[i]
        place, kind = event[1] >> 3, event[1] & 7
        if t.place_owner[place] != peer:
            continue
        if kind == PORT:
            message[ECHO] = min(message[ECHO], echo(s, s.echo_ps, event))
            message[ANSWER] = min(message[ANSWER], echo(s, s.answer_echo_ps, event))
        for field in range(EVENT_FIELDS):
            message[n_words + field] = event[field]
        message[n_words + 1] = t.place_id[place] * 8 + kind
        if kind == CREDIT:
            message[n_words + 2] = t.channel_id[event[2]]
        else:
            message[n_words + 2] = (t.channel_id[event[2] >> 32] << 32) | (event[2] & 0xFFFFFFFF)
        n_words += EVENT_FIELDS
    return n_words


@compiled
def has_nothing_left(b: Border, lk: Links, link: int) -> bool:
    """Tell whether nothing will leave for a peer any more, and nothing can come back from it.

    Once neither has anything to say of its own accord, there is nothing to come back either.
    """
    earliest = min(lk.outgoing[link, ECHO], lk.outgoing[link, ANSWER])
    earliest = min(earliest, lk.state[link].back_ps, lk.state[link].answer_ps)
    for flow in range(b.out_start[link], b.out_start[link + 1]):
        earliest = min(earliest, lk.latest_ps[flow])
    for flow in range(b.in_start[link], b.in_start[link + 1]):
        earliest = min(earliest, lk.clock_ps[flow])
    return bool(earliest >= NEVER)


@compiled
def remember(lk: Links, link: int) -> None:
    """Remember until they are answered when the bursts of the message just written can come back.

    Where too many are unanswered the message stands for the latest of those before it, too, and says so: the peer may
    have answered them, but here only the answer to this one will count.
    """
    state, message, entries = lk.state[link], lk.outgoing[link], lk.unanswered[link]
    if state.n_unanswered < len(entries):
        entries[state.n_unanswered, ECHO] = entries[state.n_unanswered, ANSWER] = NEVER
        state.n_unanswered += 1
    last = entries[state.n_unanswered - 1]
    last[0] = state.n_sent
    message[ECHO] = last[ECHO] = min(last[ECHO], message[ECHO])
    message[ANSWER] = last[ANSWER] = min(last[ANSWER], message[ANSWER])
    state.back_ps = min(state.back_ps, message[ECHO])
    state.answer_ps = min(state.answer_ps, message[ANSWER])


@compiled
def write(t: Tables, s: State, b: Border, lk: Links, link: int, waits: bool, next_ps: int) -> None:  # noqa: FBT001
    """Write the message to a peer, if there are events for it or new promises let it go further."""
    state, message, flow = lk.state[link], lk.outgoing[link], b.out_start[link]
    n_flows = b.out_start[link + 1] - flow
    n_words = pack_rows(t, s, lk, link, b.peers[link], HEADER + n_flows)
    n_rows = (n_words - HEADER - n_flows) // EVENT_FIELDS
    is_last = has_nothing_left(b, lk, link)
    state.n_words = 0
    if not (n_rows > 0 or is_last or helps(b, lk, link, waits) or lk.needs[link] > state.wants):
        return
    state.n_words = n_words
    state.has_said_all, state.wants = is_last, lk.needs[link]
    message[ANSWERED], message[IS_LAST], message[WANTS] = state.n_taken, is_last, state.wants
    message[WAITS], state.peer_waits = waits, 0
    message[NEXT] = next_ps
    for row in range(n_words - n_rows * EVENT_FIELDS, n_words, EVENT_FIELDS):
        state.peer_next_ps = min(state.peer_next_ps, message[row])
    for i in range(n_flows):
        lk.promised_ps[flow + i] = message[HEADER + i] = lk.latest_ps[flow + i]
    state.echoes_ps, state.owes_answer = NEVER, 0
    state.n_sent += 1
    lk.totals[N_BOUNDARY_EVENTS] += n_rows
    lk.totals[N_MESSAGES] += 1
    lk.totals[N_PROMISES] += n_rows == 0
    if min(message[ECHO], message[ANSWER]) < NEVER:
        remember(lk, link)
