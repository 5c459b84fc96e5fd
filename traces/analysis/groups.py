"""Layer groups: layers whose output feature maps have one height and width, as in stages of a residual network."""

from dataclasses import dataclass

import numpy as np

from traces.analysis.accounting import TimeAccount
from traces.analysis.chip import ChipFacts
from traces.analysis.records import Records
from traces.analysis.throughput import PS_PER_S, Throughput
from traces.analysis.utilization import unit_busy_ps
from traces.reader import Trace


@dataclass(frozen=True, slots=True)
class LayerGroup:
    """Layers of one output size.

    Attributes:
        name: height and width, such as "64 x 64".
        layers: rows of ``layers``.
        n_clusters: clusters whose longest work is for one of these layers.
        macs: multiply-accumulates per image.
        time_ps: time of these clusters by cause, see ``accounting.CAUSES``.
        busiest_ps: busy time of the busiest unit in the batch.
        tops: operations of the group over the makespan.
        gops_per_mm2: the same per area of its clusters; None without areas.
        gops_per_mm2_alone: what it would be if the busiest unit never had to wait: without communication.
    """

    name: str
    layers: tuple[int, ...]
    n_clusters: int
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
    busy_ps = unit_busy_ps(trace, records)
    groups = []
    for (height, width), rows in members.items():
        own = np.isin(account.layer, rows)
        n_clusters, n_macs = int(own.sum()), int(macs[rows].sum())
        busiest_ps = int(max((busy_ps.get((int(c), u), 0) for c in account.cluster[own] for u in (1, 2)), default=0))
        n_ops = 2 * n_macs * n_images
        gops = n_ops / 1e9 / (n_clusters * area.cluster_mm2) if area and n_clusters else None
        groups.append(
            LayerGroup(
                name=f"{height} x {width}",
                layers=tuple(rows),
                n_clusters=n_clusters,
                macs=n_macs,
                time_ps=tuple(account.time_ps[own].sum(axis=0).tolist()),
                busiest_ps=busiest_ps,
                tops=n_ops / throughput.makespan_ps * PS_PER_S / 1e12,
                gops_per_mm2=None if gops is None else gops / (throughput.makespan_ps / PS_PER_S),
                gops_per_mm2_alone=None if gops is None or not busiest_ps else gops / (busiest_ps / PS_PER_S),
            )
        )
    return tuple(groups)
