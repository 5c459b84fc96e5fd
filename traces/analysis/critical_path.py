"""The critical path: the chain of firings and transfers that led to the last result, from the end back to the start.

Each firing says what it waited for last. Following these answers backwards gives steps that cover the makespan without
a gap: a firing; the transfer of the token that it waited for; the time that the token was held before its transfer, for
the DMA engine or for credit; or, where a firing waited for room, the way of the token that left, and what held it.
Where a token was held for credit, the path goes on at the firing of the consumer that gave the credit.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from traces.analysis.records import Records
from traces.analysis.throughput import Throughput
from traces.reader import Trace
from traces.schema import ActorKind, Cause, Resource

KINDS = ("analog", "digital", "transfer", "held", "waiting", "other")


class Step(NamedTuple):
    """A part of the path: what happened from ``begin_ps`` to ``end_ps``.

    ``kind`` is one of ``KINDS``; ``actor`` is the one that fired, or that made the token that moved.
    """

    kind: str
    actor: int
    begin_ps: int
    end_ps: int


@dataclass(frozen=True, slots=True)
class CriticalPath:
    """Steps in the order of time; they cover the makespan.

    Attributes:
        share_by_kind: share of the makespan by the names in ``KINDS``.
        share_by_layer: the same by layer, the largest first; steps of actors without a layer go by the actor's name.
    """

    steps: tuple[Step, ...]
    share_by_kind: dict[str, float]
    share_by_layer: dict[str, float]


def find_critical_path(trace: Trace, records: Records, throughput: Throughput) -> CriticalPath:
    """Follow the causes from the last result back to the start of the batch."""
    steps = _Walk(trace, records, throughput).back_to_the_start()
    actors, layers = trace["actors"], trace["layers"]["name"]
    layer, actor_names = actors["layer"], actors["name"]
    by_kind = dict.fromkeys(KINDS, 0)
    by_layer: dict[str, int] = {}
    for step in steps:
        length_ps = step.end_ps - step.begin_ps
        by_kind[step.kind] += length_ps
        of = layer[step.actor]
        name = str(layers[of] if of >= 0 else actor_names[step.actor])
        by_layer[name] = by_layer.get(name, 0) + length_ps
    ranked = sorted(by_layer.items(), key=lambda item: -item[1])
    return CriticalPath(
        steps=tuple(steps),
        share_by_kind={kind: ps / throughput.makespan_ps for kind, ps in by_kind.items()},
        share_by_layer={name: ps / throughput.makespan_ps for name, ps in ranked if ps},
    )


class _Walk:
    """The way back: the present firing, and the time from which on the path is known."""

    def __init__(self, trace: Trace, records: Records, throughput: Throughput) -> None:
        self._records = records
        actors, channels = trace["actors"], trace["channels"]
        self._resource = actors["resource"].tolist()
        self._producer, self._consumer = channels["producer"].tolist(), channels["consumer"].tolist()
        self._sharing: dict[tuple[int, int], list[int]] = {}
        self._unit = list(zip(actors["site"].tolist(), self._resource, strict=True))
        for actor, unit in enumerate(self._unit):
            self._sharing.setdefault(unit, []).append(actor)
        self._begin_ps = throughput.begin_ps
        self._end_ps = throughput.begin_ps + throughput.makespan_ps
        outputs = np.flatnonzero(actors["kind"] == ActorKind.OUTPUT).tolist()
        self._last_output = self._latest(outputs, self._end_ps)
        self._steps: list[Step] = []
        self._reached_ps = self._end_ps

    def back_to_the_start(self) -> list[Step]:
        at = self._last_output
        seen: set[tuple[int, int]] = set()
        while at is not None and at not in seen and self._reached_ps > self._begin_ps:
            seen.add(at)
            at = self._step_back(*at)
        if self._reached_ps > self._begin_ps:
            self._cover("other", self._steps[-1].actor if self._steps else 0, self._begin_ps)
        return self._steps[::-1]

    def _step_back(self, actor: int, row: int) -> tuple[int, int] | None:
        """Cover a firing and what it waited for; return the firing before."""
        firings = self._records.firings
        start_ps, cause, channel = (int(firings.rows(actor, n)[row]) for n in ("start_ps", "cause", "cause_channel"))
        kinds = {Resource.IMA: "analog", Resource.CORES: "digital", Resource.NONE: "other"}
        self._cover(kinds[Resource(self._resource[actor])], actor, start_ps)
        if cause == Cause.INPUT:
            return self._back_over_token(channel, start_ps, by_credit=False)
        if cause == Cause.ROOM:
            return self._back_over_token(channel, start_ps, by_credit=True)
        if cause == Cause.RESOURCE:
            return self._latest(self._sharing[self._unit[actor]], start_ps)
        return (actor, row - 1) if cause == Cause.ACTOR and row else None

    def _back_over_token(self, channel: int, before_ps: int, *, by_credit: bool) -> tuple[int, int] | None:
        """Cover the token on a channel that arrived last before a time; return the firing that let it go."""
        producer, consumer = self._producer[channel], self._consumer[channel]
        transfers = self._records.transfers
        arrived_ps = transfers.rows(channel, "end_ps")
        if not len(arrived_ps):  # within a cluster
            return self._latest([consumer if by_credit else producer], before_ps)
        row = int(np.searchsorted(arrived_ps, before_ps, side="right")) - 1
        if row < 0:
            return self._latest([producer], before_ps)
        ready_ps, started_ps = (int(transfers.rows(channel, name)[row]) for name in ("ready_ps", "start_ps"))
        self._cover("waiting", producer, int(arrived_ps[row]))
        self._cover("transfer", producer, started_ps)
        credit = self._latest([consumer], started_ps) if by_credit else None
        if credit is not None:
            gave_ps = int(self._records.firings.rows(consumer, "end_ps")[credit[1]])
            if ready_ps < gave_ps:
                self._cover("held", producer, gave_ps)
                return credit
        self._cover("held", producer, ready_ps)
        return self._latest([producer], ready_ps)

    def _latest(self, actors: list[int], before_ps: int) -> tuple[int, int] | None:
        """Return the firing of some actors that ended last at or before a time, the later actor of equals."""
        best: tuple[int, int, int] | None = None
        for actor in actors:
            ends_ps = self._records.firings.rows(actor, "end_ps")
            row = int(np.searchsorted(ends_ps, before_ps, side="right")) - 1
            if row >= 0 and (best is None or int(ends_ps[row]) >= best[0]):
                best = int(ends_ps[row]), actor, row
        return best and (best[1], best[2])

    def _cover(self, kind: str, actor: int, begin_ps: int) -> None:
        """Extend the path back to ``begin_ps`` by a step; nothing if it reaches that far already."""
        begin_ps = max(begin_ps, self._begin_ps)
        if begin_ps < self._reached_ps:
            self._steps.append(Step(kind, actor, begin_ps, self._reached_ps))
            self._reached_ps = begin_ps
