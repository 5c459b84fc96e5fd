"""The report of a run as text for people."""

import io
from collections.abc import Iterable
from textwrap import fill

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as TextTable

from traces.analysis.bottleneck import Stage
from traces.analysis.conversions import LayerConversions
from traces.analysis.timing import Timing
from traces.analysis.utilization import LayerUse
from traces.digits import aligned, significant
from traces.figure_names import figure_name
from traces.report import Report

#: Headings for the causes of ``accounting.CAUSES``, narrow enough for a table.
_CAUSE_HEADINGS: tuple[str, ...] = ("analog\nwork", "digital\nwork", "commu-\nnication", "synchro-\nnisation")
_CAUSE_HEADINGS += ("waiting\nfor input", "for\nconsumers", "sleep")


def report_to_text(report: Report, width: int = 110) -> str:
    """Return a report as text of at most ``width`` columns."""
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(_run_table(report))
    if report.timing:
        for table in (_layer_table(report.timing.layers), *_timing_tables(report, report.timing)):
            if table.row_count:
                console.print(
                    f"[bold]{table.title}[/bold]"
                )  # over a table that is narrower than it, it would be broken
                table.title = None
                console.print(table)
        if report.published_note:
            console.print(f"{report.published_note}\n")
        console.print(_describe_stages(report.timing.stages, width))
    else:
        console.print("The timing plane did not run, so there are no times.")
    if report.plane == "timing":
        console.print("The value plane did not run, so there are no outputs.")
    file = console.file
    assert isinstance(file, io.StringIO)
    return "".join(f"{line.rstrip()}\n" for line in file.getvalue().splitlines())


def _run_table(report: Report) -> TextTable:
    table = TextTable(
        title=escape(report.name), box=box.SIMPLE, show_header=False, title_justify="left", title_style="bold"
    )
    table.add_column(style="bold")
    table.add_column()
    if report.timing:
        timing = report.timing.throughput
        steady = timing.images_per_second_steady
        rate = f"{timing.images_per_second:,.1f} images/s over the batch"
        table.add_row("throughput", rate + (f", {steady:,.1f} in steady state" if steady else ""))
        table.add_row("makespan", f"{timing.makespan_ps / 1e9:,.3f} ms for {report.n_images} images")
        first, mean = timing.first_image_latency_ps / 1e9, timing.mean_latency_ps / 1e9
        table.add_row("latency", f"{first:,.3f} ms for the first image, {mean:,.3f} ms on average")
        table.add_row("operations", f"{_figure(report.tops)} TOPS ({_figure(report.gmac_per_image, 3)} GMAC per image)")
        table.add_row("energy", _describe_energy(report))
    area = report.area_mm2
    table.add_row("area", f"{area:,.0f} mm2" if area else "the chip file has no coefficients of area")
    if report.costs_note:
        table.add_row("costs", escape(report.costs_note))
    table.add_row("clusters", f"{report.clusters_used} of {report.clusters_total} used")
    if report.chip:
        table.add_row("chip", escape(report.chip.label))
    if report.top_classes:
        table.add_row("top-1 classes", " ".join(map(str, report.top_classes[:24])))
    if report.conversions:
        table.add_row("ADCs", _describe_conversions(report.conversions))
    walls = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in report.wall_s.items())
    table.add_row("wall time", f"{walls} on {report.n_ranks} rank(s), {report.n_events:,} timing events")
    table.add_row("digest", report.digest)
    return table


def _describe_conversions(layers: tuple[LayerConversions, ...]) -> str:
    n_conversions, n_clipped = sum(layer.n_conversions for layer in layers), sum(layer.n_clipped for layer in layers)
    text = f"{n_clipped:,} of {n_conversions:,} conversions clipped ({n_clipped / max(1, n_conversions):.3%})"
    worst = max(layers, key=lambda layer: layer.clipped_share)
    return text + (f", most in {escape(worst.layer)} ({worst.clipped_share:.3%})" if n_clipped else "")


def _describe_energy(report: Report) -> str:
    found = report.efficiency
    if found["energy_mj_per_image"] is None:
        return "the chip file has no coefficients of energy, or the trace is older than they are"
    text = f"{_figure(found['energy_mj_per_image'])} mJ per image, {_figure(found['energy_mj_per_batch'])} mJ per batch"
    text += f", {_figure(found['power_w'])} W, {_figure(found['tops_per_watt'])} TOPS/W"
    return text + (f", {_figure(found['gops_per_mm2'])} GOPS/mm2" if found["gops_per_mm2"] is not None else "")


def _figure(value: float | None, digits: int = 2) -> str:
    """Return a number with so many decimals, or with three digits that count if it is below 1; a dash if unknown."""
    return significant(value, 3) if value is None or value < 1 else f"{value:,.{digits}f}"


def _table(title: str, headings: Iterable[str], n_text_columns: int = 1) -> TextTable:
    table = TextTable(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    for i, heading in enumerate(headings):
        table.add_column(heading, justify="left" if i < n_text_columns else "right", overflow="fold")
    return table


def _layer_table(layers: tuple[LayerUse, ...]) -> TextTable:
    headings = ("layer", "operation", "MMAC/image", "crossbars", "clusters", "firings", "busy", "at most")
    table = _table("Layers, and how busy their clusters are on average and at most", headings, 2)
    for layer in layers:
        table.add_row(
            escape(layer.name), layer.op, _figure(layer.macs / 1e6, 1) if layer.macs else "-",
            str(layer.n_crossbars) if layer.n_crossbars else "-", str(layer.n_clusters), f"{layer.n_firings:,}",
            f"{layer.busy_share:.1%}", f"{layer.busiest_share:.1%}",
        )  # fmt: skip
    return table


def _timing_tables(report: Report, timing: Timing) -> list[TextTable]:
    return [
        _share_table(timing),
        _loss_table(timing),
        _limit_table(timing),
        _energy_table(timing),
        _network_table(timing),
        _path_table(timing),
        _published_table(report),
    ]


def _share_table(timing: Timing) -> TextTable:
    table = _table(
        "Where the time of the clusters went, by size of output feature map",
        ("group", "clusters", *_CAUSE_HEADINGS),
    )
    makespan_ps = timing.account.makespan_ps
    whole = tuple(timing.account.time_ps.sum(axis=0).tolist())
    rows = [(group.name, group.n_clusters, group.time_ps) for group in timing.groups]
    for name, n_clusters, time_ps in [*rows, ("all", len(timing.account.cluster), whole)]:
        shares = (ps / (n_clusters * makespan_ps) if n_clusters else 0.0 for ps in time_ps)
        table.add_row(name, str(n_clusters), *(f"{share:.1%}" for share in shares))
    return table


def _loss_table(timing: Timing) -> TextTable:
    table = _table("Losses against the peak of all crossbars", ("step", "factor", "TOPS left"))
    waterfall = timing.waterfall
    if waterfall:
        steps = ["peak", *(name.replace("_", " ") for name in waterfall.factors), "all together"]
        factors = ["", *aligned([*waterfall.factors.values(), waterfall.total], 4)]
        left = aligned([waterfall.peak_tops, *waterfall.tops_after, waterfall.tops_after[-1]], 3)
        for row in zip(steps, factors, left, strict=True):
            table.add_row(*row)
    return table


def _limit_table(timing: Timing) -> TextTable:
    table = _table("What the busiest of each kind of resource allows", ("kind", "busiest", "images/s", "busy"), 2)
    for limit in timing.limits:
        share = limit.busy_ps / timing.throughput.makespan_ps
        table.add_row(limit.kind, escape(limit.where), f"{limit.images_per_second:,.0f}", f"{share:.1%}")
    return table


def _energy_table(timing: Timing) -> TextTable:
    table = _table("Energy of the batch by component", ("component", "mJ", "share"))
    if timing.energy:
        for name, pj in timing.energy.by_component_pj.items():
            table.add_row(name, f"{pj * 1e-9:,.3f}", f"{pj / timing.energy.total_pj:.1%}")
    return table


def _network_table(timing: Timing) -> TextTable:
    network = timing.network
    latencies = network.latencies
    n = max(latencies.n_transfers, 1)
    quantiles = ", ".join(f"{latencies.quantile_ps(q) / 1e3:,.0f} ns for {q:.0%}" for q in (0.5, 0.99))
    contention = ""
    if latencies.contention_ps is not None:
        contention = f", of which {latencies.contention_ps / n / 1e3:,.0f} ns are contention"
    table = _table(
        f"Network: {latencies.n_transfers:,} transfers, held {latencies.held_ps / n / 1e3:,.0f} ns and under way "
        f"{latencies.travelled_ps / n / 1e3:,.0f} ns on average (at most {quantiles}){contention}",
        ("level", "busiest port", "ports", "MB", "busy", "at most"),
        2,
    )
    for level in network.levels:
        table.add_row(
            escape(level.level), escape(level.busiest), str(level.n_ports_used), f"{level.n_bytes / 1e6:,.1f}",
            f"{level.mean_busy_share:.1%}", f"{level.busiest_share:.1%}",
        )  # fmt: skip
    return table


def _path_table(timing: Timing) -> TextTable:
    path = timing.path
    kinds = ", ".join(f"{kind} {share:.1%}" for kind, share in path.share_by_kind.items() if share > 0)
    table = _table(f"Critical path of {len(path.steps):,} steps: {kinds}", ("layer", "share"))
    for name, share in list(path.share_by_layer.items())[:5]:
        table.add_row(escape(name), f"{share:.1%}")
    return table


def _published_table(report: Report) -> TextTable:
    source = report.chip.published.source if report.chip and report.chip.published else ""
    table = _table(
        f"Beside what was published ({escape(source)})",
        ("figure", "published", "here", "deviation", "why it may differ"),
    )
    table.columns[-1].justify = "left"
    for each in report.comparisons():
        table.add_row(
            figure_name(each.figure), f"{each.published:,g}", significant(each.measured, 4), f"{each.deviation:+.0%}",
            escape(each.note),
        )  # fmt: skip
    return table


def _describe_stages(stages: tuple[Stage, ...], width: int) -> str:
    lines = ["[bold]Slowest stages[/bold]"]
    for rank, stage in enumerate(stages, start=1):
        what, number = " and ".join(stage.layers), f"{rank}. "
        busy = f"busy {stage.busy_per_image_ps / 1e6:,.1f} us per image, {stage.busy_share:.1%} of the makespan."
        paragraphs = (
            f"{number}{what}, {stage.unit} of cluster {stage.cluster}: {busy}",
            f"   {stage.why}; this alone caps the chip at {stage.cap_images_per_second:,.0f} images/s.",
            f"   {_describe_idle(stage)}",
        )
        indent = " " * len(number)
        lines += [escape(fill(text, width, subsequent_indent=indent, break_on_hyphens=False)) for text in paragraphs]
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
