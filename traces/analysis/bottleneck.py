"""The slowest stages: which unit of which cluster needs longest per image, what that work is, and why it ever waits."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traces.analysis.records import Records
from traces.analysis.throughput import PS_PER_S, Throughput
from traces.analysis.utilization import actor_busy_ps
from traces.analysis.waiting import Waiting, measure_waiting
from traces.reader import Trace
from traces.schema import ActorKind, Resource

_WORK = {
    ActorKind.MVM: "matrix-vector products",
    ActorKind.REDUCE: "adding and requantising partial sums",
    ActorKind.MAX_POOL: "maximum pooling",
    ActorKind.AVG_POOL: "average pooling",
    ActorKind.ADD: "residual additions",
    ActorKind.RELU: "ReLU",
}


@dataclass(frozen=True, slots=True)
class Stage:
    """One unit of one cluster and the time per image that it is busy.

    Attributes:
        bound: "analog" for the IMA, "digital" for the cores.
        cap_images_per_second: no mapping with this stage can be faster.
        busy_share: its busy time over the makespan.
        why: the work behind it, in words.
        waiting: what its idle time went to; with its busy time this adds up to the makespan.
    """

    cluster: int
    unit: str
    bound: str
    layers: tuple[str, ...]
    busy_ps: int
    busy_per_image_ps: float
    cap_images_per_second: float
    busy_share: float
    why: str
    waiting: Waiting


def slowest_stages(trace: Trace, records: Records, throughput: Throughput, n_stages: int = 3) -> tuple[Stage, ...]:
    """Return the units that are busy longest per image, slowest first, one per layer."""
    actors = trace["actors"]
    site, resource, layer = (actors[name].astype(np.int64) for name in ("site", "resource", "layer"))
    names, busy_ps = trace["layers"]["name"], actor_busy_ps(records)
    used = np.flatnonzero(resource != Resource.NONE)
    units, unit_of = np.unique(np.stack([site[used], resource[used]], axis=1), axis=0, return_inverse=True)
    total = np.zeros(len(units), np.int64)
    np.add.at(total, unit_of.ravel(), busy_ps[used])
    stages: list[Stage] = []
    for i in np.lexsort((np.arange(len(units)), -total)):
        members = used[unit_of.ravel() == i]
        layers = tuple(dict.fromkeys(str(names[layer[a]]) for a in members if layer[a] >= 0))
        if len(stages) == n_stages or total[i] == 0:
            break
        if all(layers != stage.layers for stage in stages):
            stages.append(_describe(trace, records, throughput, members, layers, int(total[i])))
    return tuple(stages)


def _describe(
    trace: Trace,
    records: Records,
    throughput: Throughput,
    members: NDArray[np.int64],
    layers: tuple[str, ...],
    busy_ps: int,
) -> Stage:
    actors, n_images = trace["actors"], int(trace.attribute("n_images"))
    kinds = dict.fromkeys(ActorKind(int(kind)) for kind in actors["kind"][members])
    work = ", ".join(_WORK.get(kind, kind.name.lower()) for kind in kinds)
    is_analog = int(actors["resource"][members[0]]) == Resource.IMA
    n_jobs = int(actors["n_jobs"][members].sum())
    if is_analog:
        why = f"{n_jobs:,} {work} per image on one crossbar"
    else:
        why = f"{work}: {int(actors['core_cycles'][members].sum()):,} cycles per image on one cluster's cores"
    return Stage(
        cluster=int(actors["site"][members[0]]),
        unit="IMA" if is_analog else "cores",
        bound="analog" if is_analog else "digital",
        layers=layers,
        busy_ps=busy_ps,
        busy_per_image_ps=busy_ps / n_images,
        cap_images_per_second=n_images * PS_PER_S / busy_ps,
        busy_share=busy_ps / throughput.makespan_ps,
        why=why,
        waiting=measure_waiting(trace, records, throughput, members),
    )
