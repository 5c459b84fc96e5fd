"""Layer groups: layers whose output feature maps have one height and width, as in stages of a residual network."""

from dataclasses import dataclass

import numpy as np

from traces.analysis.accounting import TimeAccount
from traces.analysis.chip import ChipFacts
from traces.analysis.records import Records
from traces.analysis.throughput import PS_PER_S, Throughput
from traces.analysis.utilization import actor_busy_ps
from traces.reader import Trace
from traces.schema import Resource


@dataclass(frozen=True, slots=True)
class LayerGroup:
    """Layers of one output size.

    Attributes:
        name: height and width, such as "64 x 64".
        layers: rows of ``layers``.
        n_clusters: clusters whose longest work is for one of these layers.
        n_clusters_held: what the group holds of the chip, in clusters: those whose IMA works for it, and of those
            without analog work the share of their cores' time that is for it.
        macs: multiply-accumulates per image.
        time_ps: time of these clusters by cause, see ``accounting.CAUSES``.
        busiest_ps: the longest time in the batch that any unit works for the group.
        tops: operations of the group over the makespan.
        gops_per_mm2: the same per area of the clusters that it holds; None without areas.
        gops_per_mm2_alone: what it would be if the busiest unit never had to wait: without communication.
    """

    name: str
    layers: tuple[int, ...]
    n_clusters: int
    n_clusters_held: float
    macs: int
    time_ps: tuple[int, ...]
    busiest_ps: int
    tops: float
    gops_per_mm2: float | None
    gops_per_mm2_alone: float | None


def measure_groups(
    trace: Trace, records: Records, account: TimeAccount, throughput: Throughput, chip: ChipFacts | None
) -> tuple[LayerGroup, ...]:
    """Work out the layer groups in network order; none for traces too old to hold shapes."""
    layers = trace["layers"]
    if "output_height" not in layers:
        return ()
    members: dict[tuple[int, int], list[int]] = {}
    for i, shape in enumerate(zip(layers["output_height"].tolist(), layers["output_width"].tolist(), strict=True)):
        members.setdefault(shape, []).append(i)
    macs, n_images = layers["macs"].astype(np.int64), int(trace.attribute("n_images"))
    area = chip.area if chip else None
    work = _work_of_layers(trace, records)
    groups = []
    for (height, width), rows in members.items():
        own = np.isin(account.layer, rows)
        n_clusters, n_macs = int(own.sum()), int(macs[rows].sum())
        n_held, busiest_ps = _held_and_busiest(work, rows)
        n_ops = 2 * n_macs * n_images
        gops = n_ops / 1e9 / (n_held * area.cluster_mm2) if area and n_held else None
        groups.append(
            LayerGroup(
                name=f"{height} x {width}",
                layers=tuple(rows),
                n_clusters=n_clusters,
                n_clusters_held=n_held,
                macs=n_macs,
                time_ps=tuple(account.time_ps[own].sum(axis=0).tolist()),
                busiest_ps=busiest_ps,
                tops=n_ops / throughput.makespan_ps * PS_PER_S / 1e12,
                gops_per_mm2=None if gops is None else gops / (throughput.makespan_ps / PS_PER_S),
                gops_per_mm2_alone=None if gops is None or not busiest_ps else gops / (busiest_ps / PS_PER_S),
            )
        )
    return tuple(groups)


#: Busy time by unit (cluster and ``Resource``), then by layer.
_Work = dict[tuple[int, int], dict[int, int]]


def _work_of_layers(trace: Trace, records: Records) -> _Work:
    """Return how long every unit works for every layer."""
    actors = trace["actors"]
    columns = (actors[name].tolist() for name in ("site", "resource", "layer"))
    work: _Work = {}
    for site, resource, layer, busy_ps in zip(*columns, actor_busy_ps(records).tolist(), strict=True):
        if resource != Resource.NONE and busy_ps:
            of_unit = work.setdefault((site, resource), {})
            of_unit[layer] = of_unit.get(layer, 0) + busy_ps
    return work


def _held_and_busiest(work: _Work, layers: list[int]) -> tuple[float, int]:
    """Return how many clusters some layers hold, and the longest time that a unit works for them.

    The IMA decides whose a cluster is: operations are counted on crossbars, and the cores beside them may work for
    guests. So operations per cluster held and busiest time stay below a crossbar's peak.
    """
    n_held, busiest_ps = 0.0, 0
    for (site, resource), of_unit in work.items():
        own_ps, unit_ps = sum(of_unit.get(layer, 0) for layer in layers), sum(of_unit.values())
        if resource == Resource.IMA or (site, int(Resource.IMA)) not in work:
            n_held += own_ps / unit_ps
        if own_ps:  # who holds a part of an IMA has it for that part of its time
            busiest_ps = max(busiest_ps, unit_ps if resource == Resource.IMA else own_ps)
    return n_held, busiest_ps
