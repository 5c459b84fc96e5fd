"""How long clusters, their units and the layers on them were busy: whole picoseconds, exactly."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from traces.analysis.intervals import union_ps
from traces.analysis.records import Records
from traces.reader import Trace
from traces.schema import ActorKind, Resource


@dataclass(frozen=True, slots=True, eq=False)
class ClusterUse:
    """Busy time per used cluster, arrays of equal length ordered by cluster.

    Attributes:
        cluster: cluster ids.
        layer: row in ``layers`` of the cluster's first actor that has a layer, -1 without one.
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
    """What one layer has and does. A cluster that serves several layers counts for each with that layer's firings.

    Attributes:
        macs: multiply-accumulates per image.
        n_clusters: clusters with actors of this layer.
        n_firings: in the whole batch.
        busy_ps: time in which at least one of its actors fired, summed over its clusters.
        busy_share: mean over its clusters of that time over the makespan; zero without clusters.
        busiest_share: the largest of these.
    """

    name: str
    op: str
    macs: int
    n_crossbars: int
    n_clusters: int
    n_firings: int
    busy_ps: int
    busy_share: float
    busiest_share: float


def actor_busy_ps(records: Records) -> NDArray[np.int64]:
    """Return the summed duration of every actor's firings."""
    firings = records.firings
    n_actors = len(firings.starts) - 1
    return np.array(
        [(firings.rows(i, "end_ps") - firings.rows(i, "start_ps")).sum() for i in range(n_actors)], np.int64
    )


def unit_busy_ps(trace: Trace, records: Records) -> dict[tuple[int, int], int]:
    """Return the busy time of every unit: by cluster and ``Resource``."""
    busy: dict[tuple[int, int], int] = {}
    actors = trace["actors"]
    rows = zip(actors["site"].tolist(), actors["resource"].tolist(), actor_busy_ps(records).tolist(), strict=True)
    for site, resource, busy_ps in rows:
        if resource != Resource.NONE:
            busy[site, resource] = busy.get((site, resource), 0) + busy_ps
    return busy


def measure_clusters(trace: Trace, records: Records) -> ClusterUse:
    """Work out how long every used cluster was busy."""
    actors = trace["actors"]
    site, layer, resource = (actors[name].astype(np.int64) for name in ("site", "layer", "resource"))
    n_clusters = int(trace.attribute("n_clusters"))
    clusters = np.unique(site[site < n_clusters])
    row_of_actor = np.where(site < n_clusters, np.searchsorted(clusters, site), -1)
    busy_of_actor = actor_busy_ps(records)
    per_unit = {}
    for unit in (Resource.IMA, Resource.CORES):
        uses = (resource == unit) & (row_of_actor >= 0)
        per_unit[unit] = np.zeros(len(clusters), np.int64)
        np.add.at(per_unit[unit], row_of_actor[uses], busy_of_actor[uses])
    first_layer = np.full(len(clusters), -1)
    placed = np.flatnonzero((row_of_actor >= 0) & (layer >= 0))[::-1]  # the first actor writes last
    first_layer[row_of_actor[placed]] = layer[placed]
    return ClusterUse(
        cluster=clusters,
        layer=first_layer,
        ima_ps=per_unit[Resource.IMA],
        cores_ps=per_unit[Resource.CORES],
        busy_ps=_covered_ps(records, row_of_actor, len(clusters)),
    )


def measure_layers(trace: Trace, records: Records, makespan_ps: int) -> tuple[LayerUse, ...]:
    """Sum busy times up by layer, in network order."""
    layers, actors = trace["layers"], trace["actors"]
    site, layer = actors["site"].astype(np.int64), actors["layer"].astype(np.int64)
    placed = (layer >= 0) & (site < int(trace.attribute("n_clusters")))
    places, place_of_placed = np.unique(np.stack([layer[placed], site[placed]], axis=1), axis=0, return_inverse=True)
    place_of_actor = np.full(len(actors), -1)
    place_of_actor[placed] = place_of_placed.ravel()
    busy_ps = _covered_ps(records, place_of_actor, len(places))
    n_firings = np.zeros(len(layers), np.int64)
    working = (layer >= 0) & ~np.isin(actors["kind"], (ActorKind.INPUT, ActorKind.OUTPUT))
    np.add.at(n_firings, layer[working], actors["n_firings"][working])
    n_images = int(trace.attribute("n_images"))
    rows = zip(layers["name"], layers["op"], layers["macs"], layers["n_crossbars"], strict=True)
    uses = []
    for i, (name, op, macs, n_crossbars) in enumerate(rows):
        of_layer = busy_ps[places[:, 0] == i]
        uses.append(
            LayerUse(
                name=str(name),
                op=str(op),
                macs=int(macs),
                n_crossbars=int(n_crossbars),
                n_clusters=len(of_layer),
                n_firings=int(n_firings[i]) * n_images,
                busy_ps=int(of_layer.sum()),
                busy_share=float(of_layer.mean() / makespan_ps) if of_layer.size else 0.0,
                busiest_share=float(of_layer.max(initial=0) / makespan_ps),
            )
        )
    return tuple(uses)


def _covered_ps(records: Records, group_of_actor: NDArray[np.int64], n_groups: int) -> NDArray[np.int64]:
    """Return, per group of actors, the length of the union of their firings; group -1 is left out."""
    order = np.argsort(group_of_actor, kind="stable")
    bounds = np.searchsorted(group_of_actor[order], np.arange(n_groups + 1))
    firings = records.firings
    members = [order[a:b].tolist() for a, b in pairwise(bounds)]
    covered = [union_ps(firings.gather(each, "start_ps"), firings.gather(each, "end_ps")) for each in members]
    return np.array(covered, np.int64)
