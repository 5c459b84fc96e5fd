"""Events of the timing engine: what they are, the heap that orders them, and where a new one goes.

Two kinds of places have state: *sites* (a cluster or the HBM) and *ports* of the network. An event belongs to one place
and its handler touches that place only; whatever concerns another place becomes an event with a latency. Events at the
same time are ordered by content: (time, place, kind, channel, burst), never by insertion.

An event is a row of six integers: time, ``place * 8 + kind``, identity, and three arguments that depend on the kind:

    FIRE_END  (actor)             a firing ends: give input tokens back, put output tokens, free the IMA or the cores
    ACK       (channel, burst)    a burst has arrived, seen from the sender: frees its DMA slot and, last, the buffer
    CREDIT    (channel, tokens)   the consumer gave room back, seen from the producer
    ARRIVE    (channel, burst)    the last byte of a burst reaches the consumer's L1
    DMA       (queue)             a DMA queue has programmed its next transfer
    PORT      (channel, burst)    the head of a burst reaches a port; arguments bytes, hop, earliest time of its tail
"""

import numpy as np
from numpy.typing import NDArray

from emulator.program.lower import Tables
from emulator.timing.compiled import compiled
from emulator.timing.state import EVENT_FIELDS, LIMIT, N_EVENTS, N_HEAP, N_OUTBOX, NEVER, PATIENCE, PAUSE_AT, State

FIRE_END, ACK, CREDIT, ARRIVE, DMA, PORT = range(6)
#: What a DMA queue does.
IDLE, PROGRAMMING, SENDING = range(3)


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
        s.counts[PAUSE_AT] = min(s.counts[PAUSE_AT], s.counts[N_EVENTS] + s.counts[PATIENCE])
        if kind == PORT:
            expect_echoes(t, s, event)


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
