"""Firings of actors: what keeps one from starting, and the record that it leaves."""

from emulator.program.lower import Tables
from emulator.timing.compiled import compiled
from emulator.timing.events import FIRE_END, emit
from emulator.timing.state import N_FIRINGS, State
from traces.schema import Cause

CAUSE_NONE, CAUSE_ACTOR, CAUSE_INPUT, CAUSE_ROOM, CAUSE_RESOURCE = (int(cause) for cause in Cause)


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
            s.held[site, static.resource] = 1 + actor
        end = now + t.duration_ps[static.duration_start + state.fired % static.n_firings]
        emit(t, s, end, site, FIRE_END, actor, 0, 0, 0)


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
