"""Promises: how soon can this rank's next event for another rank be, given where its program stands?

There is a promise per flow (see ``border``): a lower bound on the times of all events still to come on it. It follows
from the ways in which an event can leave:

- a burst that is under way in ports of this rank leaves them after their latencies, at the earliest;
- a burst that another rank may still send leaves after what that rank has promised for its flow, and the latencies;
- a queue sends its next burst once its DMA is programmed, or once a token is made: not before the producer's firing
  ends (``bounds``); one that waits for credit not before the credit can come;
- a credit leaves when its consumer's firing ends.

Every promise exceeds the earliest thing that can still happen here by at least one port's latency: that is what keeps
ranks that wait for each other going.
"""

import numpy as np
from numpy.typing import NDArray

from emulator.program.lower import Tables
from emulator.timing.border import Border
from emulator.timing.bounds import Bounds, grant, leaves_queue, next_end
from emulator.timing.compiled import compiled
from emulator.timing.events import ACK, ARRIVE, CREDIT, DMA, PORT
from emulator.timing.state import N_HEAP, NEVER, State


@compiled
def earliest_burst(t: Tables, s: State, b: Border, w: Bounds, clock: NDArray[np.int64], channel: int, now: int) -> int:
    """Bound the departure of the next burst of a channel that starts here."""
    static, state = t.channels[channel], s.channels[channel]
    if state.made > state.unsent + state.sent:
        return leaves_queue(t, s, w, channel, now)
    if state.unsent > 0:
        return max(now, grant(t, s, b, w, clock, channel, now)) + t.dma_program_ps
    made = next_end(t, s, b, w, clock, static.producer, now)
    if state.credit == 0:
        made = max(made, grant(t, s, b, w, clock, channel, now))
    return made + t.dma_program_ps


@compiled
def lower_promise(flow: int, time: int, promised: NDArray[np.int64]) -> None:
    """Note that something may leave on a flow (-1 for none) at ``time``."""
    if flow >= 0:
        promised[flow] = min(promised[flow], time)


@compiled
def note_heap(t: Tables, s: State, b: Border, w: Bounds, promised: NDArray[np.int64]) -> None:
    """Note what is under way: bursts that will leave, programmed queues, credits."""
    for i in range(s.counts[N_HEAP]):
        time, kind, identity = s.heap[i, 0], s.heap[i, 1] & 7, s.heap[i, 2]
        if kind in (PORT, ARRIVE):
            channel = identity >> 32
            w.coming_ps[channel] = min(w.coming_ps[channel], time)
        if kind == PORT:
            w.room_ps[channel] = min(w.room_ps[channel], time + t.channels[channel].return_ps)
            if b.entry_start[channel] < 0:
                continue
            entry = b.entry_start[channel] + s.heap[i, 4]
            lower_promise(b.onward_flow[entry], time + b.onward_ps[entry], promised)
            lower_promise(b.answer_flow[entry], time + b.answer_ps[entry], promised)
        elif kind == ACK:
            w.room_ps[identity >> 32] = min(w.room_ps[identity >> 32], time)
        elif kind == DMA:
            w.programmed_ps[identity] = time
        elif kind == CREDIT:
            w.credit_ps[identity] = min(w.credit_ps[identity], time)


@compiled
def forget_heap(s: State, w: Bounds) -> None:
    """Undo ``note_heap``; clearing all of its memory would take as long as the program is large."""
    for i in range(s.counts[N_HEAP]):
        kind, identity = s.heap[i, 1] & 7, s.heap[i, 2]
        if kind in (PORT, ARRIVE, ACK):
            w.coming_ps[identity >> 32] = w.room_ps[identity >> 32] = NEVER
        elif kind == DMA:
            w.programmed_ps[identity] = NEVER
        elif kind == CREDIT:
            w.credit_ps[identity] = NEVER


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
    w.n_times[0] += 1
    note_heap(t, s, b, w, promised)
    for i in range(len(b.bursting)):
        channel = b.bursting[i]
        entry = b.entry_start[channel]
        departs = earliest_burst(t, s, b, w, clock, channel, now)
        lower_promise(b.onward_flow[entry], departs + b.onward_ps[entry], promised)
        lower_promise(b.answer_flow[entry], departs + b.answer_ps[entry], promised)
    for i in range(len(b.crediting)):
        channel = b.crediting[i]
        ends = t.channels[channel]
        freed = next_end(t, s, b, w, clock, ends.consumer, now)
        lower_promise(b.credit_flow[channel], freed + ends.return_ps, promised)
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
    forget_heap(s, w)
