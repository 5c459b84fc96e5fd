"""The report of a run, from its trace alone."""

from dataclasses import asdict, dataclass
from math import prod
from typing import Any

from traces.analysis.accounting import CAUSES
from traces.analysis.chip import ChipFacts, chip_of, cost_with
from traces.analysis.conversions import LayerConversions, measure_conversions
from traces.analysis.records import Records, order_records
from traces.analysis.throughput import PS_PER_S
from traces.analysis.timing import Timing, measure_timing
from traces.published import Comparison, is_about
from traces.reader import Trace

_MJ_PER_PJ = 1e-9


@dataclass(frozen=True, slots=True)
class Report:
    """What a run shows.

    Attributes:
        chip: the run's chip, None if the trace holds no chip file.
        costs: the chip whose coefficients of energy and area stand in for the run's, None for its own.
        timing: what the timing plane shows, None if it did not run.
        macs_per_image: multiply-accumulates of the network.
        n_outputs: values of the network's output per image, None for traces too old to hold shapes.
        top_classes: per image; empty if the value plane did not run.
    """

    name: str
    plane: str
    n_images: int
    n_ranks: int
    n_events: int
    digest: str
    macs_per_image: int
    n_outputs: int | None
    clusters_used: int
    clusters_total: int
    wall_s: dict[str, float]
    chip: ChipFacts | None
    costs: ChipFacts | None
    timing: Timing | None
    top_classes: tuple[int, ...]
    conversions: tuple[LayerConversions, ...]

    @property
    def gmac_per_image(self) -> float:
        """Multiply-accumulates of the network in billions."""
        return self.macs_per_image / 1e9

    @property
    def tops(self) -> float | None:
        """Tera-operations per second in the batch, two true operations per multiply-accumulate."""
        return 2e-3 * self.gmac_per_image * self.timing.throughput.images_per_second if self.timing else None

    @property
    def area_mm2(self) -> float | None:
        """Area of the chip; None without coefficients."""
        return self.chip.area.chip_mm2(self.clusters_total) if self.chip and self.chip.area else None

    @property
    def energy_mj_per_batch(self) -> float | None:
        """Energy of the batch; None without coefficients."""
        return self.timing.energy.total_pj * _MJ_PER_PJ if self.timing and self.timing.energy else None

    @property
    def efficiency(self) -> dict[str, float | None]:
        """Figures of energy and area, by their keys in the JSON report."""
        energy_mj, area_mm2, tops = self.energy_mj_per_batch, self.area_mm2, self.tops
        power_w = self.timing.power_w() if self.timing else None
        return {
            "energy_mj_per_image": None if energy_mj is None else energy_mj / self.n_images,
            "energy_mj_per_batch": energy_mj,
            "power_w": power_w,
            "tops_per_watt": tops / power_w if tops and power_w else None,
            "gops_per_mm2": 1e3 * tops / area_mm2 if tops and area_mm2 else None,
            "area_mm2": area_mm2,
        }

    @property
    def costs_note(self) -> str | None:
        """Say in words whose coefficients of energy and area stand in for the run's; None if they are its own."""
        if not self.costs:
            return None
        n_clusters = self.costs.n_clusters
        note = f"energy and area by the coefficients of {self.costs.label}"
        if self.costs.area and self.costs.topology.levels and n_clusters != self.clusters_total:
            note += f", a chip of {n_clusters:,} clusters: so large is the area outside of them"
        return note

    @property
    def loss_factors(self) -> dict[str, float] | None:
        """Loss factors and their product; see ``traces.analysis.waterfall``."""
        waterfall = self.timing.waterfall if self.timing else None
        return {**waterfall.factors, "total": waterfall.total} if waterfall else None

    def comparisons(self) -> tuple[Comparison, ...]:
        """Set the chip's published figures beside the run's, if they are for its network, images and batch."""
        published = self.chip.published if self.chip else None
        of_run = (self.name, self.macs_per_image, self.n_outputs, self.n_images)
        if published is None or not is_about(published, *of_run):
            return ()
        found = {**self._rates(), **self.efficiency, "tops": self.tops}
        found |= {f"loss_factors.{name}": factor for name, factor in (self.loss_factors or {}).items()}
        pairs = ((each, found.get(each.figure)) for each in published.figures)
        return tuple(Comparison(e.figure, e.value, value, e.note) for e, value in pairs if value is not None)

    @property
    def published_note(self) -> str | None:
        """Say whose mapping the published figures are of, where they are shown beside another; None otherwise."""
        stated = self.chip.published.n_clusters if self.chip and self.chip.published else None
        if stated in (None, self.clusters_used) or not self.comparisons():
            return None
        return (
            f"The published figures are those of a mapping on {stated} clusters; "
            f"this run's mapping uses {self.clusters_used}."
        )

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain values; times in seconds unless their key says otherwise."""
        return {
            "name": self.name,
            "chip": self.chip.label if self.chip else None,
            "plane": self.plane,
            "n_images": self.n_images,
            **self._rates(),
            "gmac_per_image": self.gmac_per_image,
            "tops": self.tops,
            "clusters_used": self.clusters_used,
            "clusters_total": self.clusters_total,
            "n_events": self.n_events,
            "n_ranks": self.n_ranks,
            "digest": self.digest,
            "wall_s": self.wall_s,
            "costs_of": self.costs.label if self.costs else None,
            **self.efficiency,
            "loss_factors": self.loss_factors,
            **_timing_to_json(self.timing),
            "published": [{**asdict(each), "deviation": each.deviation} for each in self.comparisons()],
            "published_note": self.published_note,
            "top_classes": list(self.top_classes),
            "conversions": [asdict(layer) for layer in self.conversions],
        }

    def _rates(self) -> dict[str, float | None]:
        timing = self.timing.throughput if self.timing else None
        return {
            "makespan_s": timing.makespan_ps / PS_PER_S if timing else None,
            "images_per_second": timing.images_per_second if timing else None,
            "images_per_second_steady": timing.images_per_second_steady if timing else None,
            "first_image_latency_s": timing.first_image_latency_ps / PS_PER_S if timing else None,
            "mean_image_latency_s": timing.mean_latency_ps / PS_PER_S if timing else None,
        }


def make_report(trace: Trace, *, costs: ChipFacts | None = None, records: Records | None = None) -> Report:
    """Work out everything the report shows.

    Args:
        trace: an open trace.
        costs: a chip whose coefficients of energy and area replace those of the run's chip.
        records: the trace's records in order, if the caller has them already.

    Raises:
        TraceError: records or the chip file's text are damaged, or ``costs`` are for clusters of another size.
    """
    chip = chip_of(trace)
    if chip and costs:
        chip = cost_with(chip, costs)
    site, ranks = trace["actors"]["site"], trace["ranks"]
    n_clusters = int(trace.attribute("n_clusters"))
    timing = measure_timing(trace, records or order_records(trace), chip) if trace.has_timing else None
    return Report(
        name=trace.attribute("name"),
        plane=trace.attribute("plane"),
        n_images=trace.attribute("n_images"),
        n_ranks=trace.attribute("n_ranks"),
        n_events=trace.attribute("n_events"),
        digest=trace.attribute("digest"),
        macs_per_image=int(trace["layers"]["macs"].sum()),
        n_outputs=_count_outputs(trace),
        clusters_used=len(set(site[site < n_clusters].tolist())),
        clusters_total=n_clusters,
        wall_s={plane: float(ranks[f"{plane}_s"].max()) for plane in ("values", "timing", "trace", "total")},
        chip=chip,
        costs=costs if chip else None,
        timing=timing,
        top_classes=tuple(map(int, trace.outputs().argmax(axis=1))) if trace.has_values else (),
        conversions=measure_conversions(trace),
    )


def _count_outputs(trace: Trace) -> int | None:
    """Return the values that the last layer makes of an image, None for traces too old to hold shapes."""
    layers = trace["layers"]
    if "output_height" not in layers or not len(layers):
        return None
    return prod(int(layers[f"output_{name}"][-1]) for name in ("height", "width", "channels"))


def _timing_to_json(timing: Timing | None) -> dict[str, Any]:
    """Return what only the timing plane shows; lists are empty without it."""
    if timing is None:
        return {
            "layers": [],
            "clusters": [],
            "slowest_stages": [],
            "time_shares": {},
            "layer_time": {},
            "layer_groups": [],
        }
    account, network = timing.account, timing.network
    shares = zip(account.cluster.tolist(), account.time_ps.tolist(), strict=True)
    waterfall, latencies = timing.waterfall, network.latencies
    return {
        "makespan_ps": timing.throughput.makespan_ps,
        "layers": [asdict(layer) for layer in timing.layers],
        "clusters": _clusters_to_json(timing),
        "slowest_stages": [asdict(stage) for stage in timing.stages],
        "time_shares": {
            str(cluster): {f"{cause}_ps": ps for cause, ps in zip(CAUSES, own, strict=True)} for cluster, own in shares
        },
        "layer_time": {
            use.name: {f"{cause}_ps": ps for cause, ps in zip(CAUSES, own, strict=True)}
            for use, own in zip(timing.layers, account.of_layers(len(timing.layers)).tolist(), strict=True)
        },
        "layer_groups": [
            {**asdict(group), "time_ps": dict(zip(CAUSES, group.time_ps, strict=True))} for group in timing.groups
        ],
        "loss_parts": {"stalls": waterfall.stalls, "fill_and_drain": waterfall.fill_and_drain} if waterfall else None,
        "peak_tops": waterfall.peak_tops if waterfall else None,
        "limits": [asdict(limit) for limit in timing.limits],
        "roofline": [asdict(point) for point in timing.roofline],
        "critical_path": {
            "n_steps": len(timing.path.steps),
            "share_by_kind": timing.path.share_by_kind,
            "share_by_layer": timing.path.share_by_layer,
        },
        "network": {
            "levels": [asdict(level) for level in network.levels],
            "ports": [port._asdict() for port in network.ports],
            "n_transfers": latencies.n_transfers,
            "held_ps": latencies.held_ps,
            "travelled_ps": latencies.travelled_ps,
            "contention_ps": latencies.contention_ps,
            "travel_quantiles_ps": {str(q): latencies.quantile_ps(q) for q in (0.5, 0.9, 0.99, 1.0)},
        },
        "energy": _energy_to_json(timing),
    }


def _energy_to_json(timing: Timing) -> dict[str, Any] | None:
    use = timing.energy
    if use is None:
        return None
    return {
        "by_component_mj": {name: pj * _MJ_PER_PJ for name, pj in use.by_component_pj.items()},
        "by_layer_mj": {name: sum(parts.values()) * _MJ_PER_PJ for name, parts in use.energy_pj.items()},
        "counts": {name: asdict(counts) for name, counts in use.counts.items()},
    }


def _clusters_to_json(timing: Timing) -> list[dict[str, Any]]:
    """Return the busy shares of every used cluster."""
    use, makespan_ps = timing.clusters, timing.throughput.makespan_ps
    rows = zip(use.cluster, use.layer, use.ima_ps, use.cores_ps, use.busy_ps, strict=True)
    return [
        {
            "cluster": int(cluster),
            "layer": timing.layers[int(layer)].name if layer >= 0 else None,
            "ima_share": int(ima_ps) / makespan_ps,
            "cores_share": int(cores_ps) / makespan_ps,
            "busy_share": int(busy_ps) / makespan_ps,
        }
        for cluster, layer, ima_ps, cores_ps, busy_ps in rows
    ]
