"""Promises: how soon can this rank's next event for another rank be, given where its program stands?

There is a promise per flow (see ``border``): a lower bound on the times of all events still to come on it. It follows
from the ways in which an event can leave:

- a burst that is under way in ports of this rank leaves them after their latencies, at the earliest;
- a burst that another rank may still send leaves after what that rank has promised for its flow, and the latencies;
- a queue sends its next burst once its DMA is programmed, or once a token is made: not before the producer's firing
  ends; one that waits for credit not before the credit can come;
- a credit leaves when its consumer's firing ends.

An actor that is firing ends when it ends. An idle one cannot end before it has started, and it starts when the last of
the tokens that it lacks has come; when that can be at the earliest follows from the producer in the same way. So the
bounds are worked out along the program, from the actors upstream down to those at the border.

Every promise exceeds the earliest thing that can still happen here by at least one port's latency: that is what keeps
ranks that wait for each other going.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emulator.program.lower import Tables
from emulator.timing.border import Border
from emulator.timing.kernel import ARRIVE, CREDIT, DMA, PORT, PROGRAMMING, SENDING, compiled
from emulator.timing.state import N_HEAP, NEVER, State


class Bounds(NamedTuple):
    """Working memory of ``promise``."""

    end_ps: NDArray[np.int64]  # per actor: its next firing does not end before
    programmed_ps: NDArray[np.int64]  # per queue: when its DMA is programmed
    credit_ps: NDArray[np.int64]  # per channel: when the next credit on its way arrives
    moving: NDArray[np.int64]  # per channel: bursts on their way in places of ours
    echo_ps: NDArray[np.int64]  # per flow that leaves: when what still comes in leaves on it, echoes included


def working_memory(t: Tables, b: Border) -> Bounds:
    """Return memory for ``promise``."""
    n_channels = len(t.channels)
    return Bounds(
        np.full(len(t.actors), NEVER), np.full(len(t.queues), NEVER), np.full(n_channels, NEVER),
        np.zeros(n_channels, np.int64), np.full(b.out_start[-1], NEVER),
    )  # fmt: skip


@compiled
def firing_end(t: Tables, s: State, actor: int, start_ps: int) -> int:
    """Bound the end of an actor's next firing, which if it is idle cannot start before ``start_ps``."""
    static, state = t.actors[actor], s.actors[actor]
    if state.fired >= state.target:
        return NEVER
    duration = t.duration_ps[static.duration_start + state.fired % static.n_firings]
    return int((state.started_ps if state.busy else start_ps) + duration)


@compiled
def earliest_token(t: Tables, s: State, b: Border, w: Bounds, clock: NDArray[np.int64], channel: int, now: int) -> int:
    """Bound the arrival of the next token on a channel that ends here."""
    static, state = t.channels[channel], s.channels[channel]
    if static.producer < 0:
        if w.moving[channel] > 0 or b.returning[channel]:
            return now
        if b.arrive_flow[channel] >= 0:
            return int(clock[b.arrive_flow[channel]])
        return int(clock[b.enter_flow[b.home_entry[channel]]])
    if static.route_start == static.route_end:
        return now if state.unsent > 0 else int(w.end_ps[static.producer])
    if state.made > state.arrived:
        return now
    return int(w.end_ps[static.producer] + t.dma_program_ps + static.return_ps)


@compiled
def earliest_burst(t: Tables, s: State, b: Border, w: Bounds, clock: NDArray[np.int64], channel: int, now: int) -> int:
    """Bound the departure of the next burst of a channel that starts here."""
    static, state = t.channels[channel], s.channels[channel]
    queue = s.queues[static.queue]
    if state.made > state.unsent + state.sent:  # in the queue
        if queue.activity == PROGRAMMING:
            return int(w.programmed_ps[static.queue])
        part = t.queues[static.queue]
        is_leaving = queue.activity == SENDING and s.ring[part.ring_start + queue.head] == channel
        return now if is_leaving else int(now + t.dma_program_ps)
    if state.unsent > 0:
        flow = b.grant_flow[channel]
        granted = min(w.credit_ps[channel], clock[flow]) if flow >= 0 else now
        return int(granted + t.dma_program_ps)
    made = int(w.end_ps[static.producer])
    flow = b.grant_flow[channel]
    if flow >= 0 and state.credit == 0:
        made = max(made, min(w.credit_ps[channel], clock[flow]))
    return made + t.dma_program_ps


@compiled
def lower_promise(flow: int, time: int, promised: NDArray[np.int64]) -> None:
    """Note that something may leave on a flow (-1 for none) at ``time``."""
    if flow >= 0:
        promised[flow] = min(promised[flow], time)


@compiled
def note_heap(s: State, b: Border, w: Bounds, promised: NDArray[np.int64]) -> None:
    """Note what is under way: bursts that will leave, programmed queues, credits."""
    w.programmed_ps[:] = NEVER
    w.credit_ps[:] = NEVER
    w.moving[:] = 0
    for i in range(s.counts[N_HEAP]):
        time, kind, identity = s.heap[i, 0], s.heap[i, 1] & 7, s.heap[i, 2]
        if kind == PORT:
            channel = identity >> 32
            if b.entry_start[channel] < 0:
                continue
            entry = b.entry_start[channel] + s.heap[i, 4]
            w.moving[channel] += 1
            lower_promise(b.onward_flow[entry], time + b.onward_ps[entry], promised)
            lower_promise(b.answer_flow[entry], time + b.answer_ps[entry], promised)
        elif kind == ARRIVE:
            w.moving[identity >> 32] += 1
        elif kind == DMA:
            w.programmed_ps[identity] = time
        elif kind == CREDIT:
            w.credit_ps[identity] = min(w.credit_ps[identity], time)


@compiled
def bound_firings(t: Tables, s: State, b: Border, w: Bounds, clock: NDArray[np.int64], now: int) -> None:
    """Bound the ends of the next firings, from the actors upstream down to those at the border."""
    for i in range(len(b.fringe)):
        w.end_ps[b.fringe[i]] = firing_end(t, s, b.fringe[i], now)
    for i in range(len(b.order)):
        actor = b.order[i]
        static, state = t.actors[actor], s.actors[actor]
        start = now
        if not state.busy and state.fired < state.target:
            image, phase = state.fired // static.n_firings, state.fired % static.n_firings
            for j in range(static.in_start, static.in_end):
                channel = t.in_channel[j]
                ends = t.channels[channel]
                if s.channels[channel].arrived < image * ends.n_tokens + t.need[ends.use_start + phase]:
                    start = max(start, earliest_token(t, s, b, w, clock, channel, now))
        w.end_ps[actor] = firing_end(t, s, actor, start)


@compiled
def promise(
    t: Tables, s: State, b: Border, w: Bounds, clock: NDArray[np.int64], horizon_ps: int, echo_ps: int,
    promised: NDArray[np.int64]
) -> None:  # fmt: skip
    """Work out the promise for every flow that leaves; the engine must have begun.

    Args:
        t: the program.
        s: where it stands.
        b: the border.
        w: working memory.
        clock: per flow that comes in, what has been promised for it, echoes of our bursts left out.
        horizon_ps: before this, nothing from elsewhere changes what happens here.
        echo_ps: when a burst that has been sent out can come back at the earliest.
        promised: per flow that leaves, filled with the promises; ``NEVER`` where nothing will leave.
    """
    now = min(s.heap[0, 0], horizon_ps) if s.counts[N_HEAP] > 0 else horizon_ps
    promised[:] = NEVER
    w.echo_ps[:] = NEVER
    note_heap(s, b, w, promised)
    bound_firings(t, s, b, w, clock, now)
    for i in range(len(b.bursting)):
        channel = b.bursting[i]
        entry = b.entry_start[channel]
        departs = earliest_burst(t, s, b, w, clock, channel, now)
        lower_promise(b.onward_flow[entry], departs + b.onward_ps[entry], promised)
        lower_promise(b.answer_flow[entry], departs + b.answer_ps[entry], promised)
    for i in range(len(b.crediting)):
        channel = b.crediting[i]
        ends = t.channels[channel]
        lower_promise(b.credit_flow[channel], w.end_ps[ends.consumer] + ends.return_ps, promised)
    for i in range(len(b.entering)):  # along each route: what has visited another rank left here before
        entry = b.entering[i]
        comes = clock[b.enter_flow[entry]]
        if b.exit_entry[entry] >= 0:
            left = b.onward_flow[b.exit_entry[entry]]
            comes = min(comes, echo_ps, min(promised[left], w.echo_ps[left]) + b.visit_ps[entry])
        lower_promise(b.onward_flow[entry], comes + b.onward_ps[entry], w.echo_ps)
        if not b.onward_echoes[entry]:
            lower_promise(b.onward_flow[entry], comes + b.onward_ps[entry], promised)
        if not b.answer_echoes[entry]:
            lower_promise(b.answer_flow[entry], comes + b.answer_ps[entry], promised)
