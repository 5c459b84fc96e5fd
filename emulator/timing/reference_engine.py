"""The executable specification of the timing model: plain Python, one class per kind of place, no arrays.

Slow and obvious on purpose. The compiled engine must agree with it record for record; where the two differ, this one
says what was meant. It reads the program itself, not its lowered form, so it also checks the lowering.
"""

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from emulator.chip.spec import Chip
from emulator.chip.topology import build_topology
from emulator.errors import ProgramError
from emulator.program.dataflow import Actor, Channel, Program
from traces.schema import Cause, Resource

Handler = Callable[[int], None]

# Kinds of events in the order in which they are handled at one place and time.
FIRE_END, ACK, CREDIT, ARRIVE, DMA, PORT = range(6)


@dataclass
class _Port:
    width: int
    latency_ps: int
    free_ps: int = 0
    busy_ps: int = 0
    n_bytes: int = 0
    n_bursts: int = 0


@dataclass
class _Dma:
    limit: int
    waiting: deque["_Channel"] = field(default_factory=deque)
    active: "_Channel | None" = None
    programming: bool = False
    outstanding: int = 0


@dataclass
class _Channel:
    spec: Channel
    route: tuple[int, ...]
    return_ps: int
    dma: _Dma | None
    credit: int
    buffered: list[int] = field(default_factory=list)  # ready times of tokens in the producer's buffer
    unsent: int = 0
    departed: list[int] = field(default_factory=list)
    made: int = 0
    sent: int = 0
    bytes_left: int = 0
    arrived: int = 0
    bytes_arrived: int = 0
    acked: int = 0
    bytes_acked: int = 0
    n_bursts: int = 0

    def size(self, token: int) -> int:
        return self.spec.token_bytes[token % self.spec.n_tokens]


@dataclass
class _Actor:
    spec: Actor
    into: list[_Channel] = field(default_factory=list)
    out_of: list[_Channel] = field(default_factory=list)
    fired: int = 0
    busy: bool = False
    cause: Cause = Cause.NONE
    cause_channel: int = -1


class ReferenceEngine:
    """Times ``n_images`` of ``program`` on ``chip``; after ``run``, ``firings`` and ``transfers`` hold the records."""

    def __init__(self, program: Program, chip: Chip, n_images: int) -> None:
        self.firings: list[tuple[int, int, int, int, int, int, int]] = []
        self.transfers: list[tuple[int, int, int, int, int, int]] = []
        self.n_events = 0
        self._n_images = n_images
        self._n_sites = program.n_clusters + 1
        self._cycle_ps = chip.cycle_ps
        self._burst_bytes = chip.cluster.dma.max_burst_bytes
        self._program_ps = chip.cluster.dma.program_cycles * chip.cycle_ps
        self._events: list[tuple[int, int, int, tuple[int, ...], Handler]] = []
        topology = build_topology(chip)
        self.ports = [_Port(p.width_bytes_per_cycle, p.latency_cycles * chip.cycle_ps) for p in topology.ports]
        self._actors = [_Actor(actor) for actor in program.actors]
        dmas: dict[tuple[int, int], _Dma] = {}
        for channel in program.channels:
            source, target = (program.actors[i].site for i in (channel.producer, channel.consumer))
            from_hbm = source == program.hbm_site
            route = topology.route(source, target, "read" if from_hbm else "write")
            key = (source, target if from_hbm else -1)
            limits = chip.cluster.dma
            limit = limits.max_outstanding_reads if from_hbm else limits.max_outstanding_writes
            dma = dmas.setdefault(key, _Dma(limit)) if route else None
            return_ps = topology.latency_cycles(target, source) * chip.cycle_ps
            state = _Channel(channel, route, return_ps, dma, credit=channel.capacity)
            self._actors[channel.producer].out_of.append(state)
            self._actors[channel.consumer].into.append(state)
        self._queue_ids = {id(dmas[key]): i for i, key in enumerate(sorted(dmas))}
        self._held: set[tuple[int, Resource]] = set()
        self._by_site: dict[int, list[_Actor]] = {}
        for actor in reversed(self._actors):  # later actors first: they drain the pipeline
            self._by_site.setdefault(actor.spec.site, []).append(actor)

    def run(self) -> None:
        """Handle events in order of (time, place, kind, identity) until none is left."""
        for site in sorted(self._by_site):
            self._fire_ready(site, 0)
        while self._events:
            now, _, _, _, handler = heapq.heappop(self._events)
            self.n_events += 1
            handler(now)
        if any(actor.fired < self._n_images * actor.spec.n_firings for actor in self._actors):
            raise ProgramError("the program stops with firings left: it deadlocks")

    def _at(self, time: int, place: int, kind: int, identity: tuple[int, ...], handler: Handler) -> None:
        heapq.heappush(self._events, (time, place, kind, identity, handler))

    # ---- a cluster: firing

    def _obstacle(self, actor: _Actor) -> tuple[Cause, int] | None:
        image, phase = divmod(actor.fired, actor.spec.n_firings)
        for channel in actor.into:
            if channel.arrived < image * channel.spec.n_tokens + channel.spec.need[phase]:
                return Cause.INPUT, channel.spec.channel_id
        for channel in actor.out_of:
            if phase in channel.spec.tokens and len(channel.buffered) >= channel.spec.slots:
                return Cause.ROOM, channel.spec.channel_id
        if (actor.spec.site, actor.spec.resource) in self._held:
            return Cause.RESOURCE, -1
        return None

    def _fire_ready(self, site: int, now: int) -> None:
        for actor in self._by_site[site]:
            if actor.busy or actor.fired == self._n_images * actor.spec.n_firings:
                continue
            obstacle = self._obstacle(actor)
            if obstacle:
                actor.cause, actor.cause_channel = obstacle
                continue
            actor.busy = True
            if actor.spec.resource is not Resource.NONE:
                self._held.add((site, actor.spec.resource))
            end = now + actor.spec.durations_ps[actor.fired % actor.spec.n_firings]
            self._at(end, site, FIRE_END, (actor.spec.actor_id,), lambda t, a=actor, s=now: self._fire_end(a, s, t))  # type: ignore[misc]

    def _fire_end(self, actor: _Actor, started: int, now: int) -> None:
        image, phase = divmod(actor.fired, actor.spec.n_firings)
        i = actor.spec.actor_id
        self.firings.append((i, image, phase, started, now, int(actor.cause), actor.cause_channel))
        actor.cause, actor.cause_channel = Cause.ACTOR, -1
        actor.busy = False
        actor.fired += 1
        self._held.discard((actor.spec.site, actor.spec.resource))
        for channel in actor.into:
            freed = channel.spec.freed[phase] - (channel.spec.freed[phase - 1] if phase else 0)
            if freed and channel.route:
                producer = self._actors[channel.spec.producer].spec.site
                handler = lambda t, c=channel, n=freed: self._credit(c, n, t)  # noqa: E731
                self._at(now + channel.return_ps, producer, CREDIT, (channel.spec.channel_id, actor.fired), handler)
            elif freed:
                self._credit(channel, freed, now)
        for channel in actor.out_of:
            if phase not in channel.spec.tokens:
                continue
            channel.buffered.append(now)
            channel.unsent += 1
            self._credit(channel, 0, now)
        self._fire_ready(actor.spec.site, now)

    # ---- a cluster: sending

    def _credit(self, channel: _Channel, n_tokens: int, now: int) -> None:
        channel.credit += n_tokens
        while channel.unsent and channel.credit:
            channel.unsent -= 1
            channel.credit -= 1
            if channel.dma is None:  # within one L1
                channel.buffered.pop(0)
                channel.arrived += 1
            else:
                channel.dma.waiting.append(channel)
                self._program_dma(channel.dma, now)

    def _program_dma(self, dma: _Dma, now: int) -> None:
        if dma.waiting and not dma.programming and dma.active is None:
            dma.programming = True
            site = self._actors[dma.waiting[0].spec.producer].spec.site
            queue = self._queue_ids[id(dma)]
            self._at(now + self._program_ps, site, DMA, (queue,), lambda t: self._begin_transfer(dma, t))

    def _begin_transfer(self, dma: _Dma, now: int) -> None:
        dma.programming = False
        dma.active = channel = dma.waiting.popleft()
        channel.departed.append(now)
        channel.bytes_left = channel.size(channel.sent)
        self._send_bursts(dma, now)

    def _send_bursts(self, dma: _Dma, now: int) -> None:
        channel = dma.active
        while channel and channel.bytes_left and dma.outstanding < dma.limit:
            n_bytes = min(self._burst_bytes, channel.bytes_left)
            channel.bytes_left -= n_bytes
            dma.outstanding += 1
            self._to_port(channel, n_bytes, 0, channel.n_bursts, now, now)
            channel.n_bursts += 1
        if channel and not channel.bytes_left:
            channel.sent += 1
            dma.active = None
            self._program_dma(dma, now)

    # ---- the network

    def _to_port(self, channel: _Channel, n_bytes: int, hop: int, burst: int, head: int, tail: int) -> None:
        place = self._n_sites + channel.route[hop]
        handler = lambda t: self._reserve(channel, n_bytes, hop, burst, t, tail)  # noqa: E731
        self._at(head, place, PORT, (channel.spec.channel_id, burst), handler)

    def _reserve(self, channel: _Channel, n_bytes: int, hop: int, burst: int, now: int, tail: int) -> None:
        port = self.ports[channel.route[hop]]
        begin = max(now, port.free_ps)
        occupied = -(-n_bytes // port.width) * self._cycle_ps
        port.free_ps = begin + occupied
        port.busy_ps += occupied
        port.n_bytes += n_bytes
        port.n_bursts += 1
        tail = max(tail, begin + occupied) + port.latency_ps
        if hop + 1 < len(channel.route):
            self._to_port(channel, n_bytes, hop + 1, burst, begin + port.latency_ps, tail)
        else:
            site = self._actors[channel.spec.consumer].spec.site
            identity = (channel.spec.channel_id, burst)
            self._at(tail, site, ARRIVE, identity, lambda t: self._arrive(channel, n_bytes, burst, t))

    # ---- a cluster: receiving

    def _arrive(self, channel: _Channel, n_bytes: int, burst: int, now: int) -> None:
        producer, consumer = (self._actors[i].spec.site for i in (channel.spec.producer, channel.spec.consumer))
        identity = (channel.spec.channel_id, burst)
        self._at(now + channel.return_ps, producer, ACK, identity, lambda t: self._ack(channel, n_bytes, t))
        channel.bytes_arrived += n_bytes
        if channel.bytes_arrived == channel.size(channel.arrived):
            channel.bytes_arrived = 0
            channel.arrived += 1
            self._fire_ready(consumer, now)

    def _ack(self, channel: _Channel, n_bytes: int, now: int) -> None:
        assert channel.dma is not None
        channel.dma.outstanding -= 1
        self._send_bursts(channel.dma, now)
        channel.bytes_acked += n_bytes
        if channel.bytes_acked == channel.size(channel.acked):
            channel.bytes_acked = 0
            image, token = divmod(channel.acked, channel.spec.n_tokens)
            channel.acked += 1
            ready, departed = channel.buffered.pop(0), channel.departed.pop(0)
            arrived = now - channel.return_ps
            self.transfers.append((channel.spec.channel_id, image, token, ready, departed, arrived))
            self._fire_ready(self._actors[channel.spec.producer].spec.site, now)
