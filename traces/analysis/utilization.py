"""How long clusters, their units and the layers on them were busy: whole picoseconds, exactly."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traces.reader import Trace
from traces.schema import ActorKind, Resource


@dataclass(frozen=True, slots=True, eq=False)
class ClusterUse:
    """Busy time per used cluster, arrays of equal length ordered by cluster.

    Attributes:
        cluster: cluster ids.
        layer: row in ``layers`` of the cluster's first actor.
        ima_ps, cores_ps: time in which the unit was busy.
        busy_ps: time in which at least one of them was.
    """

    cluster: NDArray[np.int64]
    layer: NDArray[np.int64]
    ima_ps: NDArray[np.int64]
    cores_ps: NDArray[np.int64]
    busy_ps: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LayerUse:
    """What one layer has and does; ``busy_share`` is the mean over its clusters of busy time over makespan."""

    name: str
    op: str
    macs: int
    n_crossbars: int
    n_clusters: int
    n_firings: int
    busy_share: float
    busiest_share: float


def actor_busy_ps(trace: Trace) -> NDArray[np.int64]:
    """Return the summed duration of every actor's firings."""
    busy = np.zeros(len(trace["actors"]), np.int64)
    for actor, start_ps, end_ps in trace["firings"].chunks("actor", "start_ps", "end_ps"):
        np.add.at(busy, actor, end_ps - start_ps)
    return busy


def measure_clusters(trace: Trace) -> ClusterUse:
    """Work out how long every used cluster was busy."""
    actors = trace["actors"]
    site, layer, resource = (actors[name].astype(np.int64) for name in ("site", "layer", "resource"))
    n_clusters = int(trace.attribute("n_clusters"))
    clusters, first_actor = np.unique(site[site < n_clusters], return_index=True)
    on_cluster = np.flatnonzero(site < n_clusters)
    busy_of_actor = actor_busy_ps(trace)
    per_unit = {}
    for unit in (Resource.IMA, Resource.CORES):
        total = np.zeros(n_clusters + 1, np.int64)
        np.add.at(total, site[resource == unit], busy_of_actor[resource == unit])
        per_unit[unit] = total[clusters]
    return ClusterUse(
        cluster=clusters,
        layer=layer[on_cluster[first_actor]],
        ima_ps=per_unit[Resource.IMA],
        cores_ps=per_unit[Resource.CORES],
        busy_ps=_covered_ps(trace, site, n_clusters + 1)[clusters],
    )


def _covered_ps(trace: Trace, site: NDArray[np.int64], n_sites: int) -> NDArray[np.int64]:
    """Return, per site, the length of the union of its actors' firings."""
    firings = trace["firings"]
    at = site[firings["actor"]]
    start_ps, end_ps = firings["start_ps"], firings["end_ps"]
    order = np.lexsort((start_ps, at))
    at, start_ps, end_ps = at[order], start_ps[order], end_ps[order]
    # Shift every site into a time range of its own, so that one running maximum serves all of them.
    span = int(end_ps.max(initial=0)) + 1
    begins, ends = start_ps + at * span, end_ps + at * span
    reached = np.concatenate(([0], np.maximum.accumulate(ends)[:-1])) if len(ends) else ends
    gained = np.maximum(ends - np.maximum(begins, reached), 0)
    covered = np.zeros(n_sites, np.int64)
    np.add.at(covered, at, gained)
    return covered


def measure_layers(trace: Trace, clusters: ClusterUse, makespan_ps: int) -> tuple[LayerUse, ...]:
    """Sum the use of clusters up by layer, in network order."""
    layers, actors = trace["layers"], trace["actors"]
    firings_of_layer = np.zeros(len(layers), np.int64)
    is_edge = np.isin(actors["kind"], (ActorKind.INPUT, ActorKind.OUTPUT))
    counted = ~is_edge
    np.add.at(firings_of_layer, actors["layer"][counted], actors["n_firings"][counted])
    n_images = int(trace.attribute("n_images"))
    rows = zip(layers["name"], layers["op"], layers["macs"], layers["n_crossbars"], strict=True)
    uses = []
    for i, (name, op, macs, n_crossbars) in enumerate(rows):
        shares = clusters.busy_ps[clusters.layer == i] / makespan_ps
        uses.append(
            LayerUse(
                str(name), str(op), int(macs), int(n_crossbars), len(shares), int(firings_of_layer[i]) * n_images,
                float(shares.mean()), float(shares.max()),
            )
        )  # fmt: skip
    return tuple(uses)
