"""The compiled timing engine: one event heap, six kinds of events, flat arrays.

The loop is ``advance``: pop the earliest event, hand it to the handler of its kind, stop at the horizon. Two kinds of
places have state: *sites* (a cluster or the HBM) and *ports* of the network. An event belongs to one place and its
handler touches that place only; whatever concerns another place becomes an event with a latency. Events at the same
time are ordered by content: (time, place, kind, channel, burst), never by insertion.

An event is a row of six integers: time, ``place * 8 + kind``, identity, and three arguments that depend on the kind:

    FIRE_END  (actor)             a firing ends: give input tokens back, put output tokens, free the IMA or the cores
    ACK       (channel, burst)    a burst has arrived, seen from the sender: frees its DMA slot and, last, the buffer
    CREDIT    (channel, tokens)   the consumer gave room back, seen from the producer
    ARRIVE    (channel, burst)    the last byte of a burst reaches the consumer's L1
    DMA       (queue)             a DMA queue has programmed its next transfer
    PORT      (channel, burst)    the head of a burst reaches a port; arguments bytes, hop, earliest time of its tail

All of it stands in one file because numba's cache notices changes only in the file of the function it compiled.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numba as nb
import numpy as np
from numpy.typing import NDArray

from emulator.program.lower import Tables
from emulator.timing.state import (
    EVENT_FIELDS,
    LIMIT,
    N_EVENTS,
    N_FIRINGS,
    N_HEAP,
    N_OUTBOX,
    N_TRANSFERS,
    NEVER,
    NOW,
    STARTED,
    State,
)
from traces.schema import Cause

FIRE_END, ACK, CREDIT, ARRIVE, DMA, PORT = range(6)
DONE, RECORDS_FULL, HEAP_FULL, OUTBOX_FULL, CAUSALITY, NO_NEWS = range(6)
IDLE, PROGRAMMING, SENDING = range(3)
CAUSE_NONE, CAUSE_ACTOR, CAUSE_INPUT, CAUSE_ROOM, CAUSE_RESOURCE = (int(cause) for cause in Cause)

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function that allocates nothing, without reference counts: four times faster, half the compile time."""
    kernel: Callable[P, R] = nb.njit(cache=True, _nrt=False)(function)  # type: ignore[call-overload]  # not in the stubs
    return kernel


@compiled
def earlier(heap: NDArray[np.int64], a: int, time: int, place_and_kind: int, identity: int) -> bool:
    """Tell whether the event in row ``a`` comes before one with the given key."""
    if heap[a, 0] != time:
        return bool(heap[a, 0] < time)
    if heap[a, 1] != place_and_kind:
        return bool(heap[a, 1] < place_and_kind)
    return bool(heap[a, 2] < identity)


@compiled
def move(heap: NDArray[np.int64], source: int, target: int) -> None:
    """Copy an event to another row."""
    for field in range(EVENT_FIELDS):
        heap[target, field] = heap[source, field]


@compiled
def push(heap: NDArray[np.int64], hole: int, event: NDArray[np.int64]) -> None:
    """Put ``event`` into a heap of ``hole`` events: lift the hole behind the last until the event fits."""
    while hole > 0:
        parent = (hole - 1) >> 1
        if earlier(heap, parent, event[0], event[1], event[2]):
            break
        move(heap, parent, hole)
        hole = parent
    for field in range(EVENT_FIELDS):
        heap[hole, field] = event[field]


@compiled
def echo(s: State, echo_ps: NDArray[np.int64], event: NDArray[np.int64]) -> int:
    """Return when a burst that we send to another engine's port can cause an event here."""
    start = s.entry_start[event[2] >> 32]
    return int(event[0] + echo_ps[start + event[4]]) if start >= 0 else NEVER


@compiled
def expect_echoes(t: Tables, s: State, event: NDArray[np.int64]) -> None:
    """Keep behind what a burst sent to another engine's port can cause here.

    That it comes back is one thing. Its acknowledgement matters only once the queue waits for one or the producer has
    no room left; until then it is enough to know from when on acknowledgements can be unknown.
    """
    s.counts[LIMIT] = min(s.counts[LIMIT], echo(s, s.echo_ps, event))
    channel = event[2] >> 32
    static = t.channels[channel]
    if static.producer < 0:
        return
    answered = echo(s, s.answer_echo_ps, event)
    s.answer_ps[static.queue] = min(s.answer_ps[static.queue], answered)
    if s.queues[static.queue].activity == SENDING or s.channels[channel].slots_used >= static.slots:
        s.counts[LIMIT] = min(s.counts[LIMIT], answered)


@compiled
def emit(
    t: Tables, s: State, time: int, place: int, kind: int, identity: int, n_bytes: int, hop: int, tail: int
) -> None:
    """Schedule an event: into the heap for a place of ours, into the outbox for another engine's."""
    event = s.scratch
    event[0] = time
    event[1] = place * 8 + kind
    event[2] = identity
    event[3] = n_bytes
    event[4] = hop
    event[5] = tail
    if s.owned[place]:
        push(s.heap, s.counts[N_HEAP], event)
        s.counts[N_HEAP] += 1
    else:
        for field in range(EVENT_FIELDS):
            s.outbox[s.counts[N_OUTBOX], field] = event[field]
        s.counts[N_OUTBOX] += 1
        if kind == PORT:
            expect_echoes(t, s, event)


@compiled
def drop_earliest(heap: NDArray[np.int64], n_left: int) -> None:
    """Remove the root of a heap, of which ``n_left`` events then remain: sink the hole, then fill it with the last."""
    time, place_and_kind, identity = heap[n_left, 0], heap[n_left, 1], heap[n_left, 2]
    hole = 0
    while True:
        child = 2 * hole + 1
        if child >= n_left:
            break
        if child + 1 < n_left and earlier(heap, child + 1, heap[child, 0], heap[child, 1], heap[child, 2]):
            child += 1
        if not earlier(heap, child, time, place_and_kind, identity):
            break
        move(heap, child, hole)
        hole = child
    move(heap, n_left, hole)


@compiled
def token_size(t: Tables, channel: int, token: int) -> int:
    """Bytes of the ``token``-th token since the start."""
    static = t.channels[channel]
    return int(t.token_bytes[static.token_start + token % static.n_tokens])


@compiled
def find_obstacle(t: Tables, s: State, actor: int) -> int:
    """Return the first obstacle (input, room, resource) to an idle actor's firing and note its channel."""
    static, state = t.actors[actor], s.actors[actor]
    image, phase = state.fired // static.n_firings, state.fired % static.n_firings
    for i in range(static.in_start, static.in_end):
        channel = t.in_channel[i]
        ends = t.channels[channel]
        if s.channels[channel].arrived < image * ends.n_tokens + t.need[ends.use_start + phase]:
            state.cause_channel = channel
            return CAUSE_INPUT
    for i in range(static.out_start, static.out_end):
        channel = t.out_channel[i]
        ends = t.channels[channel]
        if t.made[ends.made_start + phase] and s.channels[channel].slots_used >= ends.slots:
            state.cause_channel = channel
            return CAUSE_ROOM
    if s.held[static.site, static.resource]:
        state.cause_channel = -1
        return CAUSE_RESOURCE
    return CAUSE_NONE


@compiled
def fire_ready(t: Tables, s: State, site: int, now: int) -> None:
    """Start every actor of a site that may fire; later actors of the program go first."""
    for i in range(t.site_start[site], t.site_start[site + 1]):
        actor = t.site_actor[i]
        static, state = t.actors[actor], s.actors[actor]
        if state.busy or state.fired >= state.target:
            continue
        obstacle = find_obstacle(t, s, actor)
        if obstacle != CAUSE_NONE:
            state.cause = obstacle
            continue
        state.busy = 1
        state.started_ps = now
        if static.resource != 0:
            s.held[site, static.resource] = 1
        end = now + t.duration_ps[static.duration_start + state.fired % static.n_firings]
        emit(t, s, end, site, FIRE_END, actor, 0, 0, 0)


@compiled
def send_token(t: Tables, s: State, channel: int, now: int) -> None:
    """Move a token that has credit: at once within a site, else into the DMA queue."""
    static, state = t.channels[channel], s.channels[channel]
    state.credit -= 1
    if static.route_start == static.route_end:
        state.slots_used -= 1
        state.arrived += 1
        return
    part, queue = t.queues[static.queue], s.queues[static.queue]
    s.ring[part.ring_start + (queue.head + queue.n_waiting) % part.ring_size] = channel
    queue.n_waiting += 1
    if queue.activity == IDLE:
        queue.activity = PROGRAMMING
        emit(t, s, now + t.dma_program_ps, part.site, DMA, static.queue, 0, 0, 0)


@compiled
def take_credit(t: Tables, s: State, channel: int, n_tokens: int, now: int) -> None:
    """Add room at the consumer and send the tokens that waited for it."""
    state = s.channels[channel]
    state.credit += n_tokens
    while state.unsent > 0 and state.credit > 0:
        state.unsent -= 1
        send_token(t, s, channel, now)


@compiled
def send_bursts(t: Tables, s: State, queue_id: int, now: int) -> None:
    """Put bursts of the queue's transfer on its first port, as far as the limit on outstanding bursts allows."""
    part, queue = t.queues[queue_id], s.queues[queue_id]
    channel = s.ring[part.ring_start + queue.head]
    state = s.channels[channel]
    size = token_size(t, channel, state.sent)
    first_port = len(t.site_start) - 1 + t.route_port[t.channels[channel].route_start]
    if queue.n_outstanding < part.limit:
        s.answer_ps[queue_id] = min(s.answer_ps[queue_id], s.answered_ps[channel])
        if state.slots_used >= t.channels[channel].slots:
            s.counts[LIMIT] = min(s.counts[LIMIT], s.answered_ps[channel])
    while queue.n_outstanding < part.limit:
        n_bytes = min(t.max_burst_bytes, size - state.sent_bytes)
        emit(t, s, now, first_port, PORT, (channel << 32) | (state.n_bursts & 0xFFFFFFFF), n_bytes, 0, now)
        state.n_bursts += 1
        queue.n_outstanding += 1
        state.sent_bytes += n_bytes
        if state.sent_bytes == size:
            state.sent_bytes = 0
            state.sent += 1
            queue.head = (queue.head + 1) % part.ring_size
            queue.n_waiting -= 1
            queue.activity = IDLE
            if queue.n_waiting > 0:
                queue.activity = PROGRAMMING
                emit(t, s, now + t.dma_program_ps, part.site, DMA, queue_id, 0, 0, 0)
            return
    s.counts[LIMIT] = min(s.counts[LIMIT], s.answer_ps[queue_id])


@compiled
def on_dma(t: Tables, s: State, queue_id: int, now: int) -> None:
    """Begin the transfer at the head of a DMA queue."""
    queue = s.queues[queue_id]
    queue.activity = SENDING
    channel = s.ring[t.queues[queue_id].ring_start + queue.head]
    static = t.channels[channel]
    s.depart_ps[static.slot_start + s.channels[channel].sent % static.slots] = now
    send_bursts(t, s, queue_id, now)


@compiled
def on_port(t: Tables, s: State, event: NDArray[np.int64], now: int) -> None:
    """Reserve a port for a burst, cut-through: the head moves on after the latency, the port stays busy longer."""
    n_sites = len(t.site_start) - 1
    port_id = (event[1] >> 3) - n_sites
    n_bytes, hop = event[3], event[4]
    channel, link, port = t.channels[event[2] >> 32], t.ports[port_id], s.ports[port_id]
    begin = max(now, port.free_ps)
    occupied = -(-n_bytes // link.width) * t.cycle_ps
    port.free_ps = begin + occupied
    port.busy_ps += occupied
    port.n_bytes += n_bytes
    port.n_bursts += 1
    tail = max(event[5], begin + occupied) + link.latency_ps
    onward = channel.route_start + hop + 1
    if onward < channel.route_end:
        emit(t, s, begin + link.latency_ps, n_sites + t.route_port[onward], PORT, event[2], n_bytes, hop + 1, tail)
    else:  # whatever the consumer does, the burst arrives and is acknowledged
        emit(t, s, tail, channel.consumer_site, ARRIVE, event[2], n_bytes, 0, 0)
        emit(t, s, tail + channel.return_ps, channel.producer_site, ACK, event[2], n_bytes, 0, 0)


@compiled
def on_arrive(t: Tables, s: State, event: NDArray[np.int64], now: int) -> None:
    """Take a burst into L1; with the last burst of a token the token has arrived."""
    channel = event[2] >> 32
    static, state = t.channels[channel], s.channels[channel]
    state.arrived_bytes += event[3]
    if state.arrived_bytes == token_size(t, channel, state.arrived):
        state.arrived_bytes = 0
        state.arrived += 1
        fire_ready(t, s, static.consumer_site, now)


@compiled
def settle_burst(t: Tables, s: State, channel: int, n_bytes: int, now: int) -> bool:
    """Count an acknowledged burst; with the last of a token free its buffer, record the transfer and return True."""
    static, state = t.channels[channel], s.channels[channel]
    state.acked_bytes += n_bytes
    token = state.acked
    if state.acked_bytes < token_size(t, channel, token):
        return False
    state.acked_bytes = 0
    state.acked += 1
    state.slots_used -= 1
    record = s.transfers[s.counts[N_TRANSFERS]]
    s.counts[N_TRANSFERS] += 1
    record[0] = channel
    record[1] = token // static.n_tokens
    record[2] = token % static.n_tokens
    slot = static.slot_start + token % static.slots
    record[3] = s.ready_ps[slot]
    record[4] = s.depart_ps[slot]
    record[5] = now - static.return_ps
    return True


@compiled
def on_ack(t: Tables, s: State, event: NDArray[np.int64], now: int) -> None:
    """Free the sender's DMA slot and, with the last burst of a token, its buffer."""
    channel = event[2] >> 32
    static = t.channels[channel]
    queue = s.queues[static.queue]
    queue.n_outstanding -= 1
    if queue.activity == SENDING:
        send_bursts(t, s, static.queue, now)
    if settle_burst(t, s, channel, event[3], now):
        fire_ready(t, s, static.producer_site, now)


@compiled
def record_firing(t: Tables, s: State, actor: int, now: int) -> None:
    """Write the record of a firing that ends."""
    n_firings, state = t.actors[actor].n_firings, s.actors[actor]
    record = s.firings[s.counts[N_FIRINGS]]
    s.counts[N_FIRINGS] += 1
    record[0] = actor
    record[1] = state.fired // n_firings
    record[2] = state.fired % n_firings
    record[3] = state.started_ps
    record[4] = now
    record[5] = state.cause
    record[6] = state.cause_channel


@compiled
def lacks_news(t: Tables, s: State, actor: int, now: int) -> bool:
    """Tell whether a firing that ends may depend on what another engine has not told of yet.

    Until a token lacks credit it does not matter when credit came, and until a buffer is full it does not matter when
    tokens were acknowledged: an engine need not wait for news of either before.
    """
    static = t.actors[actor]
    phase = s.actors[actor].fired % static.n_firings
    for i in range(static.out_start, static.out_end):
        channel = t.out_channel[i]
        ends, state = t.channels[channel], s.channels[channel]
        if ends.route_start == ends.route_end or not t.made[ends.made_start + phase]:
            continue
        if s.grant_ps[channel] < now and state.credit == 0:
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
        return bool(state.unsent == 0)
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
def find(ids: NDArray[np.int64], wanted: int) -> int:
    """Return the position of an id among rising ids, or -1."""
    low, high = 0, len(ids)
    while low < high:
        middle = (low + high) >> 1
        if ids[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    if low < len(ids) and ids[low] == wanted:
        return low
    return -1


@compiled
def take_outbox(
    t: Tables, s: State, rows: NDArray[np.int64], owner: NDArray[np.int64], echo_ps: NDArray[np.int64],
    answer_ps: NDArray[np.int64],
) -> None:  # fmt: skip
    """Move the outbox to ``rows``, with places and channels by their ids on the chip.

    Notes who owns the places, and when each burst can come back or be acknowledged here.
    """
    for i in range(s.counts[N_OUTBOX]):
        event, row = s.outbox[i], rows[i]
        for field in range(EVENT_FIELDS):
            row[field] = event[field]
        place, kind = event[1] >> 3, event[1] & 7
        owner[i] = t.place_owner[place]
        echo_ps[i] = min(NEVER, echo(s, s.echo_ps, event)) if kind == PORT else NEVER
        answer_ps[i] = min(NEVER, echo(s, s.answer_echo_ps, event)) if kind == PORT else NEVER
        row[1] = t.place_id[place] * 8 + kind
        row[2] = (
            t.channel_id[event[2]] if kind == CREDIT else (t.channel_id[event[2] >> 32] << 32) | (event[2] & 0xFFFFFFFF)
        )
    s.counts[N_OUTBOX] = 0


@compiled
def deliver(t: Tables, s: State, rows: NDArray[np.int64]) -> int:
    """Take events as ``take_outbox`` made them elsewhere; return the row of the first that cannot be taken, or -1."""
    for i in range(len(rows)):
        row, kind = rows[i], rows[i, 1] & 7
        place = find(t.place_id, row[1] >> 3)
        channel = find(t.channel_id, row[2] if kind == CREDIT else row[2] >> 32)
        if place < 0 or channel < 0 or not s.owned[place]:
            return i
        is_past = row[0] < s.counts[NOW]
        if kind == ACK and row[0] == s.counts[NOW]:
            is_past = place * 8 + kind < s.current[1]
        if is_past:
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
def pause_reason(t: Tables, s: State, margin: int) -> int:
    """Return why the earliest event cannot be handled now: a buffer could run out, or news are missing; else DONE."""
    if s.counts[N_HEAP] + margin > len(s.heap):
        return HEAP_FULL
    if s.counts[N_OUTBOX] + margin > len(s.outbox):
        return OUTBOX_FULL
    if s.counts[N_FIRINGS] + margin > len(s.firings) or s.counts[N_TRANSFERS] + margin > len(s.transfers):
        return RECORDS_FULL
    kind = s.heap[0, 1] & 7
    if kind == FIRE_END and lacks_news(t, s, s.heap[0, 2], s.heap[0, 0]):
        return NO_NEWS
    if kind == DMA and lacks_answer(t, s, s.heap[0, 2], s.heap[0, 0]):
        return NO_NEWS
    return DONE


@compiled
def advance(t: Tables, s: State, horizon_ps: int, margin: int) -> int:  # noqa: C901 (a case per kind of event)
    """Handle every event before ``horizon_ps``, in order; stop early where a buffer could run out.

    ``margin`` bounds how many events or records one event can cause. Returns why it stopped.
    """
    if s.counts[STARTED] == 0:
        start(t, s)
    event = s.current
    s.counts[LIMIT] = horizon_ps
    while s.counts[N_HEAP] > 0 and s.heap[0, 0] < s.counts[LIMIT]:
        reason = pause_reason(t, s, margin)
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
