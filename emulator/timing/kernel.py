"""The compiled timing engine: one event heap, six kinds of events, flat arrays.

The loop is ``advance``: pop the earliest event, hand it to the handler of its kind, stop at the horizon.
"""

import numpy as np
from numpy.typing import NDArray

from emulator.program.lower import Tables
from emulator.timing.compiled import compiled
from emulator.timing.events import ACK, ARRIVE, CREDIT, DMA, FIRE_END, PORT, SENDING, drop_earliest, emit, find
from emulator.timing.firings import CAUSE_ACTOR, fire_ready, record_firing
from emulator.timing.state import (
    EVENT_FIELDS,
    FURTHEST,
    LIMIT,
    N_EVENTS,
    N_FIRINGS,
    N_HEAP,
    N_OUTBOX,
    N_TRANSFERS,
    NOW,
    PAUSE_AT,
    STARTED,
    State,
)
from emulator.timing.transfers import on_ack, on_arrive, on_dma, on_port, settle_burst, take_credit, token_size

#: Why ``advance`` or a round stopped.
DONE, PAUSED, NO_NEWS, RECORDS_FULL, HEAP_FULL, CAUSALITY, REFUSED = range(7)


@compiled
def is_over(s: State, time: int, place_and_kind: int) -> bool:
    """Tell whether an event of such a key would have been handled by now.

    At one time that is so once any later key has had its turn, although an earlier one may have followed: a firing that
    takes no time ends behind the arrival that started it.
    """
    return bool(time < s.counts[NOW] or (time == s.counts[NOW] and place_and_kind < s.counts[FURTHEST]))


@compiled
def lacks_news(t: Tables, s: State, actor: int, now: int) -> bool:
    """Tell whether a firing that ends may depend on what another engine has not told of yet.

    Until a token lacks credit it does not matter when credit came, and until a buffer is full it does not matter when
    tokens were acknowledged: an engine need not wait for news of either before.
    """
    static = t.actors[actor]
    phase = s.actors[actor].fired % static.n_firings
    granted_by = now + is_over(s, now, static.site * 8 + CREDIT)  # as a rule, credit has its turn later
    for i in range(static.out_start, static.out_end):
        channel = t.out_channel[i]
        ends, state = t.channels[channel], s.channels[channel]
        if ends.route_start == ends.route_end or not t.made[ends.made_start + phase]:
            continue
        if s.grant_ps[channel] < granted_by and state.credit == 0:
            return True
        if state.slots_used + 1 >= ends.slots and s.queues[ends.queue].n_outstanding > 0:
            if s.answer_ps[ends.queue] <= now:
                return True
            s.relied_ps[ends.queue] = now
    return False


@compiled
def lacks_answer(t: Tables, s: State, queue_id: int, now: int) -> bool:
    """Tell whether a transfer that begins may find DMA slots free that another engine has not told of yet."""
    part, queue = t.queues[queue_id], s.queues[queue_id]
    channel = s.ring[part.ring_start + queue.head]
    n_bursts = -(-token_size(t, channel, s.channels[channel].sent) // t.max_burst_bytes)
    if queue.n_outstanding == 0 or queue.n_outstanding + n_bursts <= part.limit:
        return False
    if s.answer_ps[queue_id] <= now:
        return True
    s.relied_ps[queue_id] = now
    return False


@compiled
def take_late(t: Tables, s: State, kind: int, channel: int, row: NDArray[np.int64]) -> bool:
    """Take a credit or an acknowledgement of the past, for which nobody here has waited; False if somebody has."""
    state = s.channels[channel]
    if kind == CREDIT:
        state.credit += row[3]
        return bool(state.unsent == 0 and state.lacked_ps <= row[0])
    if kind != ACK:
        return False
    queue_id = t.channels[channel].queue
    s.queues[queue_id].n_outstanding -= 1
    settle_burst(t, s, channel, row[3], row[0])
    return bool(s.queues[queue_id].activity != SENDING and s.relied_ps[queue_id] < row[0])


@compiled
def on_fire_end(t: Tables, s: State, actor: int, now: int) -> None:
    """End a firing: free its resource, give input tokens back, put output tokens, look what can fire."""
    static, state = t.actors[actor], s.actors[actor]
    record_firing(t, s, actor, now)
    phase = state.fired % static.n_firings
    state.cause, state.cause_channel = CAUSE_ACTOR, -1
    state.busy = 0
    state.fired += 1
    s.held[static.site, static.resource] = 0
    for i in range(static.in_start, static.in_end):
        channel = t.in_channel[i]
        ends = t.channels[channel]
        before = t.freed[ends.use_start + phase - 1] if phase > 0 else 0
        n_tokens = t.freed[ends.use_start + phase] - before
        if n_tokens > 0:
            if ends.route_start == ends.route_end:
                take_credit(t, s, channel, n_tokens, now)
            else:
                emit(t, s, now + ends.return_ps, ends.producer_site, CREDIT, channel, n_tokens, 0, 0)
    for i in range(static.out_start, static.out_end):
        channel = t.out_channel[i]
        ends = t.channels[channel]
        if not t.made[ends.made_start + phase]:
            continue
        output = s.channels[channel]
        s.ready_ps[ends.slot_start + output.made % ends.slots] = now
        output.made += 1
        output.slots_used += 1
        output.unsent += 1
        take_credit(t, s, channel, 0, now)
        if ends.route_start == ends.route_end:
            continue
        if output.unsent > 0:
            s.counts[LIMIT] = min(s.counts[LIMIT], s.grant_ps[channel])
        if output.slots_used >= ends.slots and s.queues[ends.queue].n_outstanding > 0:
            s.counts[LIMIT] = min(s.counts[LIMIT], s.answer_ps[ends.queue])
    fire_ready(t, s, static.site, now)


@compiled
def deliver(t: Tables, s: State, rows: NDArray[np.int64]) -> int:
    """Take events of other engines, by ids of the chip; return the row of the first that cannot be taken, or -1."""
    for i in range(len(rows)):
        row, kind = rows[i], rows[i, 1] & 7
        place = find(t.place_id, row[1] >> 3)
        channel = find(t.channel_id, row[2] if kind == CREDIT else row[2] >> 32)
        if place < 0 or channel < 0 or not s.owned[place]:
            return i
        if row[0] < s.counts[NOW] or (kind in (ACK, CREDIT) and is_over(s, row[0], place * 8 + kind)):
            if not take_late(t, s, kind, channel, row):
                return i
            s.counts[N_EVENTS] += 1
            continue
        identity = channel if kind == CREDIT else (channel << 32) | (row[2] & 0xFFFFFFFF)
        emit(t, s, row[0], place, kind, identity, row[3], row[4], row[5])
    return -1


@compiled
def start(t: Tables, s: State) -> None:
    """Let every actor that may fire at time zero do so."""
    for site in range(len(t.site_start) - 1):
        if s.owned[site]:
            fire_ready(t, s, site, 0)
    s.counts[STARTED] = 1


@compiled
def pause_reason(t: Tables, s: State, margin: int, outbox_margin: int) -> int:
    """Return why the earliest event is not handled now, or DONE: full buffers, missing news, or it is time."""
    if s.counts[N_HEAP] + margin > len(s.heap):
        return HEAP_FULL
    if s.counts[N_FIRINGS] + margin > len(s.firings) or s.counts[N_TRANSFERS] + margin > len(s.transfers):
        return RECORDS_FULL
    if s.counts[N_OUTBOX] + outbox_margin > len(s.outbox) or s.counts[N_EVENTS] >= s.counts[PAUSE_AT]:
        return PAUSED
    kind = s.heap[0, 1] & 7
    if kind == FIRE_END and lacks_news(t, s, s.heap[0, 2], s.heap[0, 0]):
        return NO_NEWS
    if kind == DMA and lacks_answer(t, s, s.heap[0, 2], s.heap[0, 0]):
        return NO_NEWS
    return DONE


@compiled
def advance(  # noqa: C901 (a case per kind of event)
    t: Tables, s: State, horizon_ps: int, margin: int, outbox_margin: int
) -> int:
    """Handle every event before ``horizon_ps``, in order; stop early where a buffer could run out.

    ``margin`` bounds how many events or records one event can cause, ``outbox_margin`` how many for other engines.
    Returns why it stopped.
    """
    if s.counts[STARTED] == 0:
        start(t, s)
    event = s.current
    s.counts[LIMIT] = horizon_ps
    while s.counts[N_HEAP] > 0 and s.heap[0, 0] < s.counts[LIMIT]:
        reason = pause_reason(t, s, margin, outbox_margin)
        if reason != DONE:
            return reason
        kind = s.heap[0, 1] & 7
        for field in range(EVENT_FIELDS):
            event[field] = s.heap[0, field]
        s.counts[N_HEAP] -= 1
        drop_earliest(s.heap, s.counts[N_HEAP])
        now = event[0]
        if now < s.counts[NOW]:
            return CAUSALITY
        s.counts[FURTHEST] = max(s.counts[FURTHEST], event[1]) if now == s.counts[NOW] else event[1]
        s.counts[NOW] = now
        s.counts[N_EVENTS] += 1
        if kind == PORT:
            on_port(t, s, event, now)
        elif kind == ARRIVE:
            on_arrive(t, s, event, now)
        elif kind == ACK:
            on_ack(t, s, event, now)
        elif kind == FIRE_END:
            on_fire_end(t, s, event[2], now)
        elif kind == CREDIT:
            take_credit(t, s, event[2], event[3], now)
        else:
            on_dma(t, s, event[2], now)
    return DONE
