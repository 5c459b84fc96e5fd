"""The report of a run, from its trace alone."""

import io
from dataclasses import asdict, dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as TextTable

from traces.analysis.bottleneck import Stage, slowest_stages
from traces.analysis.conversions import LayerConversions, measure_conversions
from traces.analysis.throughput import PS_PER_S, Throughput, measure_throughput
from traces.analysis.utilization import ClusterUse, LayerUse, measure_clusters, measure_layers
from traces.reader import Trace


@dataclass(frozen=True, slots=True)
class Report:
    """What a run shows; timing figures are None if the timing plane did not run."""

    name: str
    plane: str
    n_images: int
    n_ranks: int
    n_events: int
    digest: str
    gmac_per_image: float
    clusters_used: int
    clusters_total: int
    wall_s: dict[str, float]
    throughput: Throughput | None
    layers: tuple[LayerUse, ...]
    clusters: ClusterUse | None
    stages: tuple[Stage, ...]
    top_classes: tuple[int, ...]
    conversions: tuple[LayerConversions, ...]

    @property
    def tops(self) -> float | None:
        """Tera-operations per second in the batch, two true operations per multiply-accumulate."""
        return 2e-3 * self.gmac_per_image * self.throughput.images_per_second if self.throughput else None

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain values; times in seconds."""
        timing = self.throughput
        return {
            "name": self.name,
            "plane": self.plane,
            "n_images": self.n_images,
            "makespan_s": timing.makespan_ps / PS_PER_S if timing else None,
            "images_per_second": timing.images_per_second if timing else None,
            "images_per_second_steady": timing.images_per_second_steady if timing else None,
            "first_image_latency_s": timing.first_image_latency_ps / PS_PER_S if timing else None,
            "mean_image_latency_s": timing.mean_latency_ps / PS_PER_S if timing else None,
            "gmac_per_image": self.gmac_per_image,
            "tops": self.tops,
            "clusters_used": self.clusters_used,
            "clusters_total": self.clusters_total,
            "n_events": self.n_events,
            "n_ranks": self.n_ranks,
            "digest": self.digest,
            "wall_s": self.wall_s,
            "layers": [asdict(layer) for layer in self.layers],
            "clusters": _clusters_to_json(self),
            "slowest_stages": [asdict(stage) for stage in self.stages],
            "top_classes": list(self.top_classes),
            "conversions": [asdict(layer) for layer in self.conversions],
        }

    def to_text(self, width: int = 110) -> str:
        """Return the report for people."""
        console = Console(file=io.StringIO(), width=width, highlight=False)
        console.print(_run_table(self))
        if self.throughput:
            console.print(_layer_table(self.layers))
            console.print(_describe_stages(self))
        else:
            console.print("The timing plane did not run, so there are no times.")
        if self.plane == "timing":
            console.print("The value plane did not run, so there are no outputs.")
        file = console.file
        assert isinstance(file, io.StringIO)
        return file.getvalue()


def make_report(trace: Trace) -> Report:
    """Work out everything the report shows."""
    site = trace["actors"]["site"]
    n_clusters = int(trace.attribute("n_clusters"))
    throughput: Throughput | None = None
    layers: tuple[LayerUse, ...] = ()
    clusters: ClusterUse | None = None
    stages: tuple[Stage, ...] = ()
    if trace.has_timing:
        throughput = measure_throughput(trace)
        clusters = measure_clusters(trace)
        layers = measure_layers(trace, throughput.makespan_ps)
        stages = slowest_stages(trace, throughput)
    ranks = trace["ranks"]
    return Report(
        name=trace.attribute("name"),
        plane=trace.attribute("plane"),
        n_images=trace.attribute("n_images"),
        n_ranks=trace.attribute("n_ranks"),
        n_events=trace.attribute("n_events"),
        digest=trace.attribute("digest"),
        gmac_per_image=float(trace["layers"]["macs"].sum()) / 1e9,
        clusters_used=len(set(site[site < n_clusters].tolist())),
        clusters_total=n_clusters,
        wall_s={plane: float(ranks[f"{plane}_s"].max()) for plane in ("values", "timing", "trace", "total")},
        throughput=throughput,
        layers=layers,
        clusters=clusters,
        stages=stages,
        top_classes=tuple(map(int, trace.outputs().argmax(axis=1))) if trace.has_values else (),
        conversions=measure_conversions(trace),
    )


def _clusters_to_json(report: Report) -> list[dict[str, Any]]:
    """Return the busy shares of every used cluster."""
    use, timing = report.clusters, report.throughput
    if use is None or timing is None:
        return []
    rows = zip(use.cluster, use.layer, use.ima_ps, use.cores_ps, use.busy_ps, strict=True)
    return [
        {
            "cluster": int(cluster),
            "layer": report.layers[int(layer)].name if layer >= 0 else None,
            "ima_share": int(ima_ps) / timing.makespan_ps,
            "cores_share": int(cores_ps) / timing.makespan_ps,
            "busy_share": int(busy_ps) / timing.makespan_ps,
        }
        for cluster, layer, ima_ps, cores_ps, busy_ps in rows
    ]


def _run_table(report: Report) -> TextTable:
    table = TextTable(
        title=escape(report.name), box=box.SIMPLE, show_header=False, title_justify="left", title_style="bold"
    )
    table.add_column(style="bold")
    table.add_column()
    timing = report.throughput
    if timing:
        steady = timing.images_per_second_steady
        rate = f"{timing.images_per_second:,.1f} images/s over the batch"
        table.add_row("throughput", rate + (f", {steady:,.1f} in steady state" if steady else ""))
        table.add_row("makespan", f"{timing.makespan_ps / 1e9:,.3f} ms for {report.n_images} images")
        first, mean = timing.first_image_latency_ps / 1e9, timing.mean_latency_ps / 1e9
        table.add_row("latency", f"{first:,.3f} ms for the first image, {mean:,.3f} ms on average")
        table.add_row("operations", f"{report.tops:,.2f} TOPS ({report.gmac_per_image:,.3f} GMAC per image)")
    table.add_row("clusters", f"{report.clusters_used} of {report.clusters_total} used")
    if report.top_classes:
        table.add_row("top-1 classes", " ".join(map(str, report.top_classes[:24])))
    if report.conversions:
        table.add_row("ADCs", _describe_conversions(report.conversions))
    walls = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in report.wall_s.items())
    table.add_row("wall time", f"{walls} on {report.n_ranks} rank(s), {report.n_events:,} timing events")
    table.add_row("digest", report.digest)
    return table


def _describe_conversions(layers: tuple[LayerConversions, ...]) -> str:
    n_conversions, n_clipped = (
        sum(getattr(layer, name) for layer in layers) for name in ("n_conversions", "n_clipped")
    )
    text = f"{n_clipped:,} of {n_conversions:,} conversions clipped ({n_clipped / max(1, n_conversions):.3%})"
    worst = max(layers, key=lambda layer: layer.clipped_share)
    return text + (f", most in {escape(worst.layer)} ({worst.clipped_share:.3%})" if n_clipped else "")


def _layer_table(layers: tuple[LayerUse, ...]) -> TextTable:
    table = TextTable(
        title="Layers, and how busy their clusters are on average and at most",
        box=box.SIMPLE_HEAD,
        title_justify="left",
        title_style="bold",
    )
    table.add_column("layer", overflow="fold")
    table.add_column("operation")
    for heading in ("MMAC/image", "crossbars", "clusters", "firings", "busy", "at most"):
        table.add_column(heading, justify="right")
    for layer in layers:
        table.add_row(
            escape(layer.name), layer.op, f"{layer.macs / 1e6:,.1f}" if layer.macs else "-",
            str(layer.n_crossbars) if layer.n_crossbars else "-", str(layer.n_clusters), f"{layer.n_firings:,}",
            f"{layer.busy_share:.1%}", f"{layer.busiest_share:.1%}",
        )  # fmt: skip
    return table


def _describe_stages(report: Report) -> str:
    lines = ["[bold]Slowest stages[/bold]"]
    for rank, stage in enumerate(report.stages, start=1):
        what = escape(" and ".join(stage.layers))
        lines.append(
            f"{rank}. {what}, {stage.unit} of cluster {stage.cluster}: busy {stage.busy_per_image_ps / 1e6:,.1f} us "
            f"per image, {stage.busy_share:.1%} of the makespan.\n"
            f"   {stage.why}; this alone caps the chip at {stage.cap_images_per_second:,.0f} images/s.\n"
            f"   {escape(_describe_idle(stage))}"
        )
    return "\n".join(lines)


_IDLE = {
    "input": "waiting for input",
    "room": "waiting for room in the next buffer",
    "resource": "waiting for another actor of its cluster",
    "actor": "waiting for its own previous firing",
    "none": "before it could begin",
    "finished": "while the batch drains behind it",
}


def _describe_idle(stage: Stage) -> str:
    waiting = stage.waiting
    kind = f"Bound by {stage.bound} work; " if stage.busy_share > 0.5 else ""
    if waiting.longest is None:
        return f"{kind}never idle." if kind else "Never idle."
    whom = {"input": " from ", "room": " at "}.get(waiting.longest, " of ")
    end = f"{whom}{waiting.longest_for}" if waiting.longest_for else ""
    idle = f"idle {1 - stage.busy_share:.1%} of the time, mostly {_IDLE[waiting.longest]}{end}."
    return f"{kind}{idle}" if kind else idle[0].upper() + idle[1:]
