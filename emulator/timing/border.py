"""The border of a rank: every flow of events that crosses it, and the latencies on the ways out.

A *flow* is one channel's events of one kind from one rank to another: bursts that go on to a port, bursts that arrive,
acknowledgements, or credits. Both ends of a pair of ranks number its flows alike, by channel and kind.

An *echo* is an event that comes back from the rank to whose port a burst was sent, through ports of that rank alone:
its acknowledgement, mostly. Only the sender's own bursts cause echoes, and it knows their latencies. So the other rank
leaves them out of its promises, and the sender keeps behind the echo of any burst that the other has not yet answered.
Without that, two ranks that hold one route would lead each other forward by its latency, message by message.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emulator.program.lower import Tables
from emulator.timing.compiled import compiled
from emulator.timing.state import NEVER

# Kinds of flows in their order within a channel; bursts that go on to a port have its place on the route.
_ARRIVAL, _ANSWER, _CREDIT = 1 << 20, (1 << 20) + 1, (1 << 20) + 2


class Border(NamedTuple):
    """What crosses the border; numbers of flows, -1 for none.

    *Entries* are the ports on the routes of the channels that cross, route after route: the memory that this takes
    grows with the border, not with the program.
    """

    entry_start: NDArray[np.int64]  # per channel: where its route begins among the entries, -1 if it does not cross
    peers: NDArray[np.int64]  # the other ranks with which this one shares a channel, rising
    out_start: NDArray[np.int64]  # (n_peers + 1,): flows to each peer
    in_start: NDArray[np.int64]  # (n_peers + 1,): flows from each peer
    onward_flow: NDArray[np.int64]  # per entry that is ours: where a burst there leaves to...
    onward_ps: NDArray[np.int64]  # ...and after which latency at least
    answer_flow: NDArray[np.int64]  # the same for its acknowledgement
    answer_ps: NDArray[np.int64]
    enter_flow: NDArray[np.int64]  # per entry that is ours: who sends bursts in here
    entering: NDArray[np.int64]  # the entries where bursts come in, rising
    onward_echoes: NDArray[np.bool_]  # per entry where bursts come in: they leave to where they came from
    answer_echoes: NDArray[np.bool_]  # the same for their acknowledgements
    echo_ps: NDArray[np.int64]  # per entry to which we send bursts: how soon they can come back here
    answer_echo_ps: NDArray[np.int64]  # and how soon they can be acknowledged here
    exit_entry: NDArray[np.int64]  # per entry where bursts come back from a visit: the entry where they left, or -1
    visit_ps: NDArray[np.int64]  # and how long the visit takes at least
    home_entry: NDArray[np.int64]  # per channel: the entry from which on all is ours to the consumer, -1 if none
    returning: NDArray[np.bool_]  # per channel: its bursts visit the rank from which they come to their consumer here
    arrive_flow: NDArray[np.int64]  # per channel: bursts that come in at its consumer
    grant_flow: NDArray[np.int64]  # per channel: credits that come in at its producer
    granted: NDArray[np.int64]  # the channels that get credits from other ranks
    answered: NDArray[np.int64]  # the channels that get acknowledgements from other ranks
    answered_flow: NDArray[np.int64]  # and the flows of these
    news_in: NDArray[np.bool_]  # per flow that comes in: is it of credits or acknowledgements?
    news_out: NDArray[np.bool_]  # the same per flow that leaves
    credit_flow: NDArray[np.int64]  # per channel: credits that leave from its consumer
    bursting: NDArray[np.int64]  # channels that start here and whose bursts or acknowledgements leave
    crediting: NDArray[np.int64]  # channels that end here and start elsewhere


class _Flows(NamedTuple):
    """Flows of all ranks through the channels that a rank knows, by rows."""

    channel: NDArray[np.int64]
    kind: NDArray[np.int64]
    source: NDArray[np.int64]
    target: NDArray[np.int64]
    entry: NDArray[np.int64]  # where it leaves (arrivals, acknowledgements) or enters (ports)

    def take(self, chosen: NDArray[np.int64]) -> "_Flows":
        """Return some rows."""
        return _Flows(*(column[chosen] for column in self))


def border_of(t: Tables) -> Border:
    """Return the border of the rank that ``t`` was lowered for.

    Args:
        t: the rank's part of the program.
    """
    r, n_channels = _crossing_routes(t), len(t.channels)
    flows, n_entries = _all_flows(r), len(r.port)
    peers = np.unique(np.concatenate((flows.source, flows.target)))
    peers = peers[peers != t.rank]
    leaving = flows.take(np.flatnonzero(flows.source == t.rank))
    leaving = leaving.take(np.lexsort((leaving.kind, leaving.channel, leaving.target)))
    coming = flows.take(np.flatnonzero(flows.target == t.rank))
    coming = coming.take(np.lexsort((coming.kind, coming.channel, coming.source)))
    is_port, came_at_port = leaving.kind < _ARRIVAL, coming.kind < _ARRIVAL
    exits = np.where(is_port, leaving.entry - 1, leaving.entry)
    onward_flow = _by_key(n_entries, exits, leaving.kind <= _ARRIVAL)
    answer_flow = _by_key(n_entries, exits, leaving.kind == _ANSWER)
    enter_flow = _by_key(n_entries, coming.entry, came_at_port)
    onward_ps, answer_ps, visit_ps = (np.zeros(n_entries, np.int64) for _ in range(3))
    home_entry, exit_entry = np.full(n_channels, -1), np.full(n_entries, -1)
    returning = np.zeros(n_channels, np.bool_)
    onward_echoes, answer_echoes = np.zeros(n_entries, np.bool_), np.zeros(n_entries, np.bool_)
    echo_ps, answer_echo_ps = np.full(n_entries, NEVER), np.full(n_entries, NEVER)
    _trace_routes(t, r, onward_flow, onward_ps, answer_flow, answer_ps, home_entry)
    _trace_echoes(t, r, onward_echoes, answer_echoes, echo_ps, answer_echo_ps, exit_entry, visit_ps, returning)
    credit_flow = _by_key(n_channels, leaving.channel, leaving.kind == _CREDIT)
    entry_start = np.full(n_channels, -1)
    entry_start[r.channel] = r.start[:-1]
    bursting = np.flatnonzero((t.channels["producer"] >= 0) & (entry_start >= 0))
    first = entry_start[bursting]
    bursting = bursting[(onward_flow[first] >= 0) | (answer_flow[first] >= 0)]
    crediting = np.flatnonzero(credit_flow >= 0)
    grant_flow = _by_key(n_channels, coming.channel, coming.kind == _CREDIT)
    return Border(
        entry_start=entry_start,
        peers=peers,
        out_start=np.searchsorted(leaving.target, np.append(peers, np.iinfo(np.int64).max)),
        in_start=np.searchsorted(coming.source, np.append(peers, np.iinfo(np.int64).max)),
        onward_flow=onward_flow,
        onward_ps=onward_ps,
        answer_flow=answer_flow,
        answer_ps=answer_ps,
        enter_flow=enter_flow,
        entering=np.flatnonzero(enter_flow >= 0),
        onward_echoes=onward_echoes,
        answer_echoes=answer_echoes,
        echo_ps=echo_ps,
        answer_echo_ps=answer_echo_ps,
        exit_entry=exit_entry,
        visit_ps=visit_ps,
        home_entry=home_entry,
        returning=returning,
        arrive_flow=_by_key(n_channels, coming.channel, coming.kind == _ARRIVAL),
        grant_flow=grant_flow,
        granted=np.flatnonzero(grant_flow >= 0),
        answered=coming.channel[coming.kind == _ANSWER],
        answered_flow=np.flatnonzero(coming.kind == _ANSWER),
        news_in=coming.kind >= _ANSWER,
        news_out=leaving.kind >= _ANSWER,
        credit_flow=credit_flow,
        bursting=bursting,
        crediting=crediting,
    )


class _Routes(NamedTuple):
    """The routes of the channels that cross the border, one after the other."""

    channel: NDArray[np.int64]
    start: NDArray[np.int64]  # (n_crossing + 1,), into port and owner
    port: NDArray[np.int64]
    owner: NDArray[np.int64]
    producer_owner: NDArray[np.int64]  # per crossing channel
    consumer_owner: NDArray[np.int64]


def _crossing_routes(t: Tables) -> _Routes:
    """Find the channels that touch a place of another rank; all channels of ``t`` touch one of its own."""
    channels, is_ours = t.channels, t.place_owner == t.rank
    foreign_before = np.concatenate(([0], np.cumsum(~is_ours[t.n_sites + t.route_port])))
    crosses = foreign_before[channels["route_end"]] > foreign_before[channels["route_start"]]
    for end in ("producer_site", "consumer_site"):
        crosses |= ~is_ours[channels[end]]
    channel = np.flatnonzero(crosses)
    rows = channels[channel]
    stretches = [t.route_port[row["route_start"] : row["route_end"]] for row in rows]
    port = np.concatenate([np.empty(0, np.int64), *stretches])
    start = np.concatenate(([0], np.cumsum(rows["route_end"] - rows["route_start"])))
    ends = (t.place_owner[rows[end]] for end in ("producer_site", "consumer_site"))
    return _Routes(channel, start, port, t.place_owner[t.n_sites + port], *ends)


def _all_flows(r: _Routes) -> _Flows:
    """List every crossing from rank to rank on some routes."""
    number, entries = np.repeat(np.arange(len(r.channel)), np.diff(r.start)), np.arange(len(r.port))
    hop = entries - r.start[number]
    before = np.where(hop > 0, np.append(0, r.owner[:-1])[: len(entries)], r.producer_owner[number])
    last = r.start[1:] - 1
    parts = [_Flows(r.channel[number], hop, before, r.owner, entries)]
    for kind, source, target in (
        (_ARRIVAL, r.owner[last], r.consumer_owner),
        (_ANSWER, r.owner[last], r.producer_owner),
        (_CREDIT, r.consumer_owner, r.producer_owner),
    ):
        parts.append(_Flows(r.channel, np.full(len(r.channel), kind), source, target, last))
    flows = _Flows(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    return flows.take(np.flatnonzero(flows.source != flows.target))


def _by_key(n_keys: int, keys: NDArray[np.int64], chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the number of the chosen flow of each key, -1 for keys without one."""
    flow = np.full(n_keys, -1)
    flow[keys[chosen]] = np.flatnonzero(chosen)
    return flow


@compiled
def _trace_routes(
    t: Tables, r: _Routes, onward_flow: NDArray[np.int64], onward_ps: NDArray[np.int64],
    answer_flow: NDArray[np.int64], answer_ps: NDArray[np.int64], home_entry: NDArray[np.int64],
) -> None:  # fmt: skip
    """Follow every route backwards: where does a burst at each of our ports leave to, and after how long?"""
    for i in range(len(r.channel)):
        leads_home = r.consumer_owner[i] == t.rank
        for entry in range(r.start[i + 1] - 1, r.start[i] - 1, -1):
            if r.owner[entry] != t.rank:
                leads_home = False
                continue
            if leads_home:
                home_entry[r.channel[i]] = entry
            latency = t.ports[r.port[entry]].latency_ps
            if entry == r.start[i + 1] - 1:
                onward_ps[entry] = latency + t.cycle_ps  # the tail leaves at least a cycle behind the head
                answer_ps[entry] = latency + t.cycle_ps + t.channels[r.channel[i]].return_ps
            elif r.owner[entry + 1] != t.rank:
                onward_ps[entry] = latency
            else:
                onward_flow[entry], onward_ps[entry] = onward_flow[entry + 1], onward_ps[entry + 1] + latency
                answer_flow[entry], answer_ps[entry] = answer_flow[entry + 1], answer_ps[entry + 1] + latency


@compiled
def _trace_echoes(
    t: Tables, r: _Routes, onward_echoes: NDArray[np.bool_], answer_echoes: NDArray[np.bool_],
    echo_ps: NDArray[np.int64], answer_echo_ps: NDArray[np.int64], exit_entry: NDArray[np.int64],
    visit_ps: NDArray[np.int64], returning: NDArray[np.bool_],
) -> None:  # fmt: skip
    """Find the bursts that come back to the rank that sent them, on either side."""
    for i in range(len(r.channel)):
        static, begin = t.channels[r.channel[i]], r.start[i]
        while begin < r.start[i + 1]:  # a stretch of the route that one rank owns
            end, latency = begin, 0
            while end < r.start[i + 1] and r.owner[end] == r.owner[begin]:
                latency += t.ports[r.port[end]].latency_ps
                end += 1
            before = r.owner[begin - 1] if begin > r.start[i] else r.producer_owner[i]
            is_last = end == r.start[i + 1]
            after = r.consumer_owner[i] if is_last else r.owner[end]
            if r.owner[begin] == t.rank and before != t.rank:
                onward_echoes[begin] = after == before
                answer_echoes[begin] = is_last and r.producer_owner[i] == before
            elif r.owner[begin] != t.rank and before == t.rank:
                if after == t.rank:
                    returning[r.channel[i]] = True
                    echo_ps[begin] = latency + (t.cycle_ps if is_last else 0)
                if is_last and r.producer_owner[i] == t.rank:
                    answer_echo_ps[begin] = latency + t.cycle_ps + static.return_ps
                if not is_last and after == t.rank:
                    exit_entry[end], visit_ps[end] = begin - 1, latency
            begin = end
