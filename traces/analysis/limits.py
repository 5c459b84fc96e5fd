"""What each resource alone would allow: caps in images per second, and the roofline's points by layer group."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traces.analysis.chip import ChipFacts
from traces.analysis.groups import LayerGroup
from traces.analysis.records import Records
from traces.analysis.throughput import PS_PER_S
from traces.analysis.utilization import unit_busy_ps
from traces.reader import Trace
from traces.schema import Resource

#: The level whose ports lead to the HBM.
HBM_LEVEL = "HBM link"


@dataclass(frozen=True, slots=True)
class Limit:
    """The busiest of one kind of resource: the chip is never faster than it alone would be."""

    kind: str
    where: str
    busy_ps: int
    images_per_second: float


@dataclass(frozen=True, slots=True)
class RooflinePoint:
    """A layer group under the roofline.

    Attributes:
        ops_per_byte: operations per byte that enters its clusters over the network.
        tops: operations per second over the makespan.
        analog_roof_tops: its clusters' crossbars, full and never idle.
        network_roof_tops: operations at that intensity if the links into its clusters were never idle.
    """

    group: str
    ops_per_byte: float
    tops: float
    analog_roof_tops: float
    network_roof_tops: float


def measure_limits(trace: Trace, records: Records) -> tuple[Limit, ...]:
    """Return the limits by analog and digital units, network and memory, those that exist; the tightest first."""
    n_images = int(trace.attribute("n_images"))
    busiest: dict[str, tuple[int, str]] = {}

    def offer(kind: str, where: str, busy_ps: int) -> None:
        if busy_ps > busiest.get(kind, (0, ""))[0]:
            busiest[kind] = (busy_ps, where)

    for (cluster, unit), busy_ps in unit_busy_ps(trace, records).items():
        is_analog = unit == Resource.IMA
        offer("analog" if is_analog else "digital", f"{'IMA' if is_analog else 'cores'} of cluster {cluster}", busy_ps)
    ports, totals = trace["ports"], trace["port_totals"]
    names, levels = ports["name"], ports["level"]
    for port, busy_ps in zip(totals["port"].tolist(), totals["busy_ps"].tolist(), strict=True):
        offer("memory" if levels[port] == HBM_LEVEL else "network", str(names[port]), busy_ps)
    limits = (Limit(kind, where, ps, n_images * PS_PER_S / ps) for kind, (ps, where) in busiest.items())
    return tuple(sorted(limits, key=lambda limit: limit.images_per_second))


def roofline_points(trace: Trace, groups: tuple[LayerGroup, ...], chip: ChipFacts) -> tuple[RooflinePoint, ...]:
    """Return the groups that compute on crossbars and receive something, in network order."""
    received = _bytes_received(trace)
    link_bytes_per_s = _link_bytes_per_second(trace)
    points = []
    for group in groups:
        n_bytes = int(received[list(group.layers)].sum())
        if not n_bytes or not group.macs or not group.n_clusters_held:
            continue
        ops_per_byte = 2 * group.macs / n_bytes
        points.append(
            RooflinePoint(
                group=group.name,
                ops_per_byte=ops_per_byte,
                tops=group.tops,
                analog_roof_tops=group.n_clusters_held * chip.peak_ops_per_second / 1e12,
                network_roof_tops=group.n_clusters_held * link_bytes_per_s * ops_per_byte / 1e12,
            )
        )
    return tuple(points)


def _bytes_received(trace: Trace) -> NDArray[np.int64]:
    """Return the bytes per image that each layer's actors receive from other sites."""
    channels, actors = trace["channels"], trace["actors"]
    site, layer = actors["site"].astype(np.int64), actors["layer"].astype(np.int64)
    producer, consumer = channels["producer"], channels["consumer"]
    received = np.zeros(len(trace["layers"]) + 1, np.int64)  # the last for what belongs to no layer
    travels = site[producer] != site[consumer]
    np.add.at(received, layer[consumer[travels]], channels["n_bytes"][travels])
    return received[:-1]


def _link_bytes_per_second(trace: Trace) -> float:
    """Return what the narrowest port of the interconnect (the HBM's aside) moves in a second."""
    ports = trace["ports"]
    own = ports["level"] != HBM_LEVEL
    return float(ports["width"][own].min(initial=1 << 62)) * PS_PER_S / int(trace.attribute("cycle_ps"))
