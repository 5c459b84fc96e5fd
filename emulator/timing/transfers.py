"""Transfers of tokens: credit, the DMA queues, bursts through ports, arrival and acknowledgement."""

import numpy as np
from numpy.typing import NDArray

from emulator.program.lower import Tables
from emulator.timing.compiled import compiled
from emulator.timing.events import ACK, ARRIVE, DMA, IDLE, PORT, PROGRAMMING, SENDING, emit
from emulator.timing.firings import fire_ready
from emulator.timing.state import LIMIT, N_TRANSFERS, State


@compiled
def token_size(t: Tables, channel: int, token: int) -> int:
    """Bytes of the ``token``-th token since the start."""
    static = t.channels[channel]
    return int(t.token_bytes[static.token_start + token % static.n_tokens])


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
    if state.unsent > 0 and state.credit == 0:
        state.lacked_ps = now
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
