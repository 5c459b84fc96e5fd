"""How soon can an actor end its next firing, and a producer get credit, given where the program stands?

An actor that is firing ends when it ends. An idle one cannot end before it has started, and it starts when the last of
the tokens that it lacks has come; when that can be at the earliest follows from the producer in the same way, and where
it lacks room, from the consumer; an IMA or cores that another firing holds are free once that one ends. So a bound
follows from a chain of idle actors. Whatever is missing bounds the start from below, so where several things are
missing that come from idle actors, one is followed and the others are left.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emulator.program.lower import Tables
from emulator.timing.border import Border
from emulator.timing.compiled import compiled
from emulator.timing.events import PROGRAMMING
from emulator.timing.state import NEVER, State

#: Idle actors that a chain follows at most.
_LONGEST_CHAIN = 32


class Bounds(NamedTuple):
    """Working memory of ``promise``."""

    n_times: NDArray[np.int64]  # (1,): promises worked out so far
    end_ps: NDArray[np.int64]  # per actor: its next firing does not end before...
    end_known: NDArray[np.int64]  # ...as worked out for the promise of this number
    chain: NDArray[np.int64]  # (_LONGEST_CHAIN, 4): idle actors, starts, durations, ways from the next of the chain
    programmed_ps: NDArray[np.int64]  # per queue: when its DMA is programmed
    place: NDArray[np.int64]  # per channel: transfers in its queue before its first...
    queue_known: NDArray[np.int64]  # ...as counted for the promise of this number, per queue
    credit_ps: NDArray[np.int64]  # per channel: when the next credit on its way arrives
    coming_ps: NDArray[np.int64]  # per channel: when the next event of a burst on its way in places of ours is
    room_ps: NDArray[np.int64]  # per channel: when the next acknowledgement of such a burst can be here, if we send it
    echo_ps: NDArray[np.int64]  # per flow that leaves: when what still comes in leaves on it, echoes included


def working_memory(t: Tables, b: Border) -> Bounds:
    """Return memory for ``promise``."""
    n_actors, n_channels = len(t.actors), len(t.channels)
    return Bounds(
        n_times=np.zeros(1, np.int64),
        end_ps=np.full(n_actors, NEVER),
        end_known=np.zeros(n_actors, np.int64),
        chain=np.zeros((_LONGEST_CHAIN, 4), np.int64),
        programmed_ps=np.full(len(t.queues), NEVER),
        place=np.zeros(n_channels, np.int64),
        queue_known=np.zeros(len(t.queues), np.int64),
        credit_ps=np.full(n_channels, NEVER),
        coming_ps=np.full(n_channels, NEVER),
        room_ps=np.full(n_channels, NEVER),
        echo_ps=np.full(b.out_start[-1], NEVER),
    )


@compiled
def known_end(t: Tables, s: State, w: Bounds, actor: int) -> int:
    """Bound the end of an actor's next firing where that needs no look upstream; -1 where it does."""
    static, state = t.actors[actor], s.actors[actor]
    if state.fired >= state.target:
        return NEVER
    if state.busy:
        return int(state.started_ps + t.duration_ps[static.duration_start + state.fired % static.n_firings])
    return int(w.end_ps[actor]) if w.end_known[actor] == w.n_times[0] else -1


@compiled
def leaves_queue(t: Tables, s: State, w: Bounds, channel: int, now: int) -> int:
    """Bound when a token that is in its DMA queue leaves: every transfer before it is programmed first."""
    queue_id = t.channels[channel].queue
    part, queue = t.queues[queue_id], s.queues[queue_id]
    if w.queue_known[queue_id] != w.n_times[0]:
        w.queue_known[queue_id] = w.n_times[0]
        for place in range(queue.n_waiting - 1, -1, -1):
            w.place[s.ring[part.ring_start + (queue.head + place) % part.ring_size]] = place
    head = int(w.programmed_ps[queue_id]) if queue.activity == PROGRAMMING else now
    return int(head + w.place[channel] * t.dma_program_ps)


@compiled
def way_ps(t: Tables, channel: int) -> int:
    """Return how long a token takes at least from the end of the firing that made it to its consumer."""
    static = t.channels[channel]
    return int(t.dma_program_ps + static.return_ps) if static.route_start < static.route_end else 0


@compiled
def known_own_token(t: Tables, s: State, b: Border, w: Bounds, channel: int, now: int) -> int:
    """Bound the arrival of the next token on a channel that starts and ends here, as ``known_token`` does."""
    static, state = t.channels[channel], s.channels[channel]
    if state.sent > state.arrived and b.entry_start[channel] < 0:
        return int(w.coming_ps[channel])
    if state.made == state.arrived or (static.route_start == static.route_end and state.unsent == 0):
        return -1
    if state.sent > state.arrived or state.sent_bytes > 0:
        return now
    if state.made == state.unsent + state.sent:  # it lacks credit
        return int(w.credit_ps[channel] + way_ps(t, channel)) if w.credit_ps[channel] < NEVER else now
    return int(leaves_queue(t, s, w, channel, now) + static.return_ps)


@compiled
def known_token(t: Tables, s: State, b: Border, w: Bounds, clock: NDArray[np.int64], channel: int, now: int) -> int:
    """Bound the arrival of the next token on a channel that ends here, or return -1 if it follows from its producer."""
    if t.channels[channel].producer >= 0:
        return known_own_token(t, s, b, w, channel, now)
    if b.returning[channel]:
        return now
    flow = b.arrive_flow[channel]
    if flow < 0:
        flow = b.enter_flow[b.home_entry[channel]]
    return int(min(w.coming_ps[channel], clock[flow]))


@compiled
def known_grant(t: Tables, s: State, b: Border, w: Bounds, clock: NDArray[np.int64], channel: int) -> int:
    """Bound the arrival of the next credit at a channel's producer, or return -1 if it follows from its consumer."""
    if w.credit_ps[channel] < NEVER:
        return int(w.credit_ps[channel])
    if b.grant_flow[channel] >= 0:
        return int(clock[b.grant_flow[channel]])
    static = t.channels[channel]
    if static.consumer < 0:
        return 0
    end = known_end(t, s, w, static.consumer)
    return end if end < 0 else int(end + static.return_ps)


@compiled
def wait_for_inputs(
    t: Tables, s: State, b: Border, w: Bounds, clock: NDArray[np.int64], actor: int, now: int
) -> tuple[int, int]:
    """Return since when an idle actor may have its tokens, and a channel whose producer may tell more, or -1."""
    static, state = t.actors[actor], s.actors[actor]
    image, phase = state.fired // static.n_firings, state.fired % static.n_firings
    start, onward = now, -1
    for i in range(static.in_start, static.in_end):
        channel = t.in_channel[i]
        ends = t.channels[channel]
        if s.channels[channel].arrived >= image * ends.n_tokens + t.need[ends.use_start + phase]:
            continue
        comes = known_token(t, s, b, w, clock, channel, now)
        if comes < 0:
            end = known_end(t, s, w, ends.producer)
            if end < 0:
                onward = channel
            else:
                comes = end + way_ps(t, channel)
        start = max(start, comes)
    return start, onward


@compiled
def wait_for_room(
    t: Tables, s: State, b: Border, w: Bounds, clock: NDArray[np.int64], actor: int, now: int
) -> tuple[int, int]:
    """Return since when an idle actor may have room, and a channel whose consumer may tell more, or -1.

    A buffer that is full of tokens that lack credit frees a slot only after the next credit, one with a token that has
    left only once that is acknowledged.
    """
    static, state = t.actors[actor], s.actors[actor]
    phase = state.fired % static.n_firings
    start, onward = now, -1
    for i in range(static.out_start, static.out_end):
        channel = t.out_channel[i]
        ends, output = t.channels[channel], s.channels[channel]
        if not t.made[ends.made_start + phase] or output.slots_used < ends.slots:
            continue
        if output.unsent < ends.slots:
            if output.sent > output.acked and b.entry_start[channel] < 0:
                start = max(start, w.room_ps[channel])
            continue
        comes = known_grant(t, s, b, w, clock, channel)
        if comes < 0:
            onward = channel
        else:
            start = max(start, comes + way_ps(t, channel))
    return start, onward


@compiled
def wait_for_resource(t: Tables, s: State, w: Bounds, actor: int, now: int) -> int:
    """Return since when an idle actor may have its IMA or cores: not before the firing that holds them ends."""
    static = t.actors[actor]
    holder = s.held[static.site, static.resource] - 1
    return int(known_end(t, s, w, holder)) if holder >= 0 else now


@compiled
def next_end(t: Tables, s: State, b: Border, w: Bounds, clock: NDArray[np.int64], actor: int, now: int) -> int:
    """Bound the end of an actor's next firing.

    Whom an idle actor waits for is either firing or idle itself, and so on: a chain without cycles, for actors that
    wait for each other in a ring would never fire again.
    """
    end, length = known_end(t, s, w, actor), 0
    while end < 0:
        static, state = t.actors[actor], s.actors[actor]
        has_tokens, channel = wait_for_inputs(t, s, b, w, clock, actor, now)
        has_room, full = wait_for_room(t, s, b, w, clock, actor, now)
        link = w.chain[length]
        link[0], link[3] = actor, 0
        link[1] = max(has_tokens, has_room, wait_for_resource(t, s, w, actor, now))
        link[2] = t.duration_ps[static.duration_start + state.fired % static.n_firings]
        length += 1
        if length == _LONGEST_CHAIN or (channel < 0 and full < 0):
            end = now
            break
        if channel >= 0:
            link[3], actor = way_ps(t, channel), t.channels[channel].producer
        else:
            link[3], actor = t.channels[full].return_ps + way_ps(t, full), t.channels[full].consumer
        end = known_end(t, s, w, actor)
    while length > 0:
        length -= 1
        link = w.chain[length]
        end = max(link[1], end + link[3]) + link[2]
        w.end_ps[link[0]], w.end_known[link[0]] = end, w.n_times[0]
    return end


@compiled
def grant(t: Tables, s: State, b: Border, w: Bounds, clock: NDArray[np.int64], channel: int, now: int) -> int:
    """Bound the arrival of the next credit at a channel's producer."""
    comes = known_grant(t, s, b, w, clock, channel)
    if comes < 0:
        static = t.channels[channel]
        comes = int(next_end(t, s, b, w, clock, static.consumer, now) + static.return_ps)
    return comes
