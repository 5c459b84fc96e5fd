"""The slowest stages: which unit of which cluster needs longest per image, and what that work is."""

from dataclasses import dataclass

import numpy as np

from traces.analysis.throughput import PS_PER_S
from traces.analysis.utilization import actor_busy_ps
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
        cap_images_per_second: no mapping with this stage can be faster.
        busy_share: its busy time over the makespan.
        why: the work behind it, in words.
    """

    cluster: int
    unit: str
    layers: tuple[str, ...]
    busy_per_image_ps: float
    cap_images_per_second: float
    busy_share: float
    why: str


def slowest_stages(trace: Trace, makespan_ps: int, n_stages: int = 3) -> tuple[Stage, ...]:
    """Return the units that are busy longest per image, slowest first, one per layer."""
    actors = trace["actors"]
    site, resource, kind, layer = (actors[name] for name in ("site", "resource", "kind", "layer"))
    n_jobs, core_cycles, names = actors["n_jobs"], actors["core_cycles"], trace["layers"]["name"]
    busy_ps, n_images = actor_busy_ps(trace), int(trace.attribute("n_images"))
    used = np.flatnonzero(resource != Resource.NONE)
    units, unit_of = np.unique(np.stack([site[used], resource[used]], axis=1), axis=0, return_inverse=True)
    total = np.zeros(len(units), np.int64)
    np.add.at(total, unit_of.ravel(), busy_ps[used])
    stages = []
    seen: set[tuple[str, ...]] = set()
    for i in np.lexsort((np.arange(len(units)), -total)):
        cluster, unit = int(units[i, 0]), Resource(int(units[i, 1]))
        members = used[unit_of.ravel() == i]
        layers = tuple(dict.fromkeys(str(names[layer[a]]) for a in members))
        if layers in seen:
            continue
        seen.add(layers)
        per_image_ps = total[i] / n_images
        work = ", ".join(dict.fromkeys(_WORK[ActorKind(int(kind[a]))] for a in members))
        if unit is Resource.IMA:
            amount = f"{int(n_jobs[members].sum()):,} {work} per image on one crossbar"
        else:
            amount = f"{work}: {int(core_cycles[members].sum()):,} cycles per image on one cluster's cores"
        stages.append(
            Stage(
                cluster=cluster,
                unit="IMA" if unit is Resource.IMA else "cores",
                layers=layers,
                busy_per_image_ps=float(per_image_ps),
                cap_images_per_second=PS_PER_S / per_image_ps,
                busy_share=float(total[i] / makespan_ps),
                why=amount,
            )
        )
        if len(stages) == n_stages:
            break
    return tuple(stages)
