"""What one unit of a cluster waited for while it was idle: whole picoseconds that add up to the makespan."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traces.analysis.records import FIRING_COLUMNS, Records
from traces.analysis.throughput import Throughput
from traces.reader import Trace
from traces.schema import Cause


@dataclass(frozen=True, slots=True)
class Waiting:
    """The idle time of a unit by the cause that the firing after it names.

    Attributes:
        none_ps, actor_ps, input_ps, room_ps, resource_ps: idle time before firings with that cause.
        finished_ps: from its last firing to the end of the batch.
        longest: the cause with the most idle time in lower case, or "finished"; None if it was never idle.
        longest_for: the layer, or the actor without one, at the other end of the channel waited for most under that
            cause; None where the cause names no channel.
    """

    none_ps: int
    actor_ps: int
    input_ps: int
    room_ps: int
    resource_ps: int
    finished_ps: int
    longest: str | None
    longest_for: str | None


def measure_waiting(
    trace: Trace, records: Records, throughput: Throughput, members: NDArray[np.int64]
) -> Waiting:  # fmt: skip
    """Split the idle time of the unit that ``members`` (rows of ``actors``) share, one firing at a time."""
    start_ps, end_ps, cause, channel = _firings_of(records, members)
    stop_ps = throughput.begin_ps + throughput.makespan_ps
    reached_ps = np.maximum.accumulate(np.concatenate(([throughput.begin_ps], end_ps)))
    idle_ps = np.maximum(start_ps - reached_ps[:-1], 0)
    of_cause = {each: int(idle_ps[cause == each].sum()) for each in Cause}
    finished_ps = stop_ps - int(reached_ps[-1])
    longest = max(Cause, key=lambda each: of_cause[each])
    by_cause = of_cause[longest] >= finished_ps
    name = longest.name.lower() if by_cause else "finished"
    return Waiting(
        none_ps=of_cause[Cause.NONE],
        actor_ps=of_cause[Cause.ACTOR],
        input_ps=of_cause[Cause.INPUT],
        room_ps=of_cause[Cause.ROOM],
        resource_ps=of_cause[Cause.RESOURCE],
        finished_ps=finished_ps,
        longest=name if max(of_cause[longest], finished_ps) else None,
        longest_for=_other_end(trace, longest, channel[cause == longest], idle_ps[cause == longest])
        if by_cause and of_cause[longest]
        else None,
    )


def _firings_of(records: Records, members: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
    """Return start, end, cause and channel of all firings of some actors, in the order of time."""
    start_ps, end_ps, cause, channel = (
        records.firings.gather(members.tolist(), name).astype(np.int64) for name in FIRING_COLUMNS
    )
    order = np.lexsort((end_ps, start_ps))
    return start_ps[order], end_ps[order], cause[order], channel[order]


def _other_end(trace: Trace, cause: Cause, channel: NDArray[np.int64], idle_ps: NDArray[np.int64]) -> str | None:
    """Name who is behind the channels that were waited for longest."""
    named = channel >= 0
    if not named.any():
        return None
    channels, actors = trace["channels"], trace["actors"]
    total_ps = np.zeros(len(actors), np.int64)
    ends = channels["producer" if cause is Cause.INPUT else "consumer"]
    np.add.at(total_ps, ends[channel[named]], idle_ps[named])
    actor = int(total_ps.argmax())
    layer = int(actors["layer"][actor])
    return str(trace["layers"]["name"][layer] if layer >= 0 else actors["name"][actor])
