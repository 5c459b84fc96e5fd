"""One page that holds its scripts, its styles and its data: it opens in any browser, without a network."""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from traces.analysis.accounting import CAUSES
from traces.digits import significant
from traces.errors import TraceError
from traces.figure_names import figure_name
from traces.plots.data import FigureData
from traces.plots.style import CAUSE_LABELS

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.45 system-ui, sans-serif; color: #1b1b1b; max-width: 1100px; margin: 0 auto; padding: 12px; }
h1 { font-size: 1.5em; margin: .4em 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15em; margin: 1.6em 0 .2em; border-top: 1px solid #ddd; padding-top: .8em; }
p { margin: .2em 0 .6em; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 8px; margin: 1em 0; }
.figures div { border: 1px solid #ddd; border-radius: 6px; padding: 6px 10px; }
.figures b { display: block; font-size: 1.25em; }
.figures span { color: #555; font-size: .85em; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88em; }
th, td { padding: 3px 9px; text-align: right; border-bottom: 1px solid #eee; white-space: nowrap; }
th { border-bottom: 1px solid #999; vertical-align: bottom; }
td.text, th.text { text-align: left; }
td.note { white-space: normal; min-width: 16em; }
summary { cursor: pointer; margin: .6em 0; }
footer { color: #666; font-size: .8em; margin: 2em 0; overflow-wrap: anywhere; }
"""

#: How plotly shows a chart.
CHART_CONFIG = {"responsive": True, "displaylogo": False, "modeBarButtonsToRemove": ["select2d", "lasso2d"]}

#: Rows of the longest tables: a page must stay small and quick.
_N_PORTS = 100
_N_CLUSTERS = 2000

Cell = str | tuple[str, str]  # text, or text and CSS class


def write_page(data: FigureData, path: Path) -> None:
    """Write the interactive report of a run.

    Raises:
        TraceError: plotly is not installed, or the file cannot be written.
    """
    charts_script, charts = _charts(data)
    report = data.report
    parts = [
        f"<h1>{escape(report.name)}</h1>",
        _key_figures(data),
        _published(data),
        *charts,
        "<h2>Tables</h2>",
        _layer_table(data),
        _layer_time_table(data),
        _share_table(data),
        _port_table(data),
        _footer(data),
    ]
    write_html(path, report.name, charts_script, parts)


def write_html(path: Path, title: str, script: str, parts: Sequence[str]) -> None:
    """Write a page.

    Raises:
        TraceError: the file cannot be written.
    """
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    page = (
        f'<!DOCTYPE html>\n<html lang="en"><head>{head}<title>{escape(title)}</title><style>{_STYLE}</style>'
        f"<script>{script}</script></head>\n<body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise TraceError(f"{path}: the page cannot be written: {error.strerror}; choose another place") from None


def table(headings: Sequence[str], rows: Iterable[Sequence[Cell]], n_text_columns: int = 1) -> str:
    """Return an HTML table whose first columns hold text and whose others hold numbers; cells are escaped."""
    classes = [' class="text"' if i < n_text_columns else "" for i in range(len(headings))]
    head = "".join(f"<th{c}>{escape(text)}</th>" for c, text in zip(classes, headings, strict=True))
    lines = []
    for row in rows:
        cells = []
        for own_class, cell in zip(classes, row, strict=True):
            text, css = (cell, own_class) if isinstance(cell, str) else (cell[0], f' class="{cell[1]}"')
            cells.append(f"<td{css}>{escape(text)}</td>")
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f'<div class="wide"><table><tr>{head}</tr>{"".join(lines)}</table></div>'


def plotly_script() -> str:
    """Return the library that draws the charts.

    Raises:
        TraceError: plotly is not installed.
    """
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise TraceError(
            "the interactive report needs plotly, which is not installed: pip install 'aimc-emulator[html]'"
        ) from None
    script: str = get_plotlyjs()
    return script


def _charts(data: FigureData) -> tuple[str, list[str]]:
    script = plotly_script()
    from traces.html.charts import make_charts

    parts = []
    for i, chart in enumerate(make_charts(data)):
        body = chart.figure.to_html(full_html=False, include_plotlyjs=False, config=CHART_CONFIG, div_id=f"chart{i}")
        parts.append(f"<h2>{escape(chart.heading)}</h2><p>{escape(chart.conclusion)}</p>{body}")
    return script, parts


def _footer(data: FigureData) -> str:
    report = data.report
    about = f"{report.n_images} images, {report.n_ranks} rank(s), {report.n_events:,} timing events."
    if report.chip:
        about += f" Chip: {escape(report.chip.label)}."
    if report.costs_note:
        about += f" Costs: {escape(report.costs_note)}."
    return f"<footer>{about} Digest {escape(report.digest)}.</footer>"


def _key_figures(data: FigureData) -> str:
    report, timing, found = data.report, data.timing.throughput, data.report.efficiency
    steady = timing.images_per_second_steady
    figures = [
        ("images/s over the batch", f"{timing.images_per_second:,.0f}"),
        *([("images/s in steady state", f"{steady:,.0f}")] if steady else []),
        ("ms for the batch", f"{timing.makespan_ps / 1e9:,.3f}"),
        ("ms mean latency", f"{timing.mean_latency_ps / 1e9:,.3f}"),
        ("TOPS", f"{report.tops:,.2f}"),
        (f"of {report.clusters_total} clusters used", f"{report.clusters_used}"),
    ]
    units = {"energy_mj_per_image": "mJ per image", "power_w": "W", "tops_per_watt": "TOPS/W"}
    units |= {"gops_per_mm2": "GOPS/mm²", "area_mm2": "mm²"}
    figures += [(unit, significant(found[key], 3)) for key, unit in units.items() if found[key] is not None]
    cells = "".join(f"<div><b>{escape(value)}</b><span>{escape(what)}</span></div>" for what, value in figures)
    return f'<div class="figures">{cells}</div>'


def _published(data: FigureData) -> str:
    comparisons, chip = data.report.comparisons(), data.report.chip
    if not comparisons or chip is None or chip.published is None:
        return ""
    rows: list[list[Cell]] = [
        [
            figure_name(c.figure),
            f"{c.published:,g}",
            significant(c.measured, 4),
            f"{c.deviation:+.0%}",
            (c.note, "text note"),
        ]
        for c in comparisons
    ]
    note = f". {escape(data.report.published_note)}" if data.report.published_note else ""
    headings = ("figure", "published", "here", "deviation", "why it may differ")
    return f"<h2>Beside what was published</h2><p>{escape(chip.published.source)}{note}</p>{table(headings, rows)}"


def _layer_table(data: FigureData) -> str:
    energy, n_images = data.timing.energy, data.report.n_images
    headings = ["layer", "operation", "MMAC/image", "crossbars", "clusters", "busy", "at most", "mJ/image"]
    rows = [
        [
            use.name, use.op, f"{use.macs / 1e6:,.1f}", str(use.n_crossbars), str(use.n_clusters),
            f"{use.busy_share:.1%}", f"{use.busiest_share:.1%}",
            f"{sum(energy.energy_pj[use.name].values()) * 1e-9 / n_images:,.4f}" if energy else "",
        ]
        for use in data.timing.layers
    ]  # fmt: skip
    return f"<details open><summary>Layers</summary>{table(headings, rows, 2)}</details>"


def _layer_time_table(data: FigureData) -> str:
    account, layers = data.timing.account, data.timing.layers
    headings = ["layer", *(f"{CAUSE_LABELS[cause]} (us)" for cause in CAUSES)]
    rows = [
        [use.name, *(f"{ps / 1e6:,.1f}" for ps in own)]
        for use, own in zip(layers, account.of_layers(len(layers)).tolist(), strict=True)
    ]
    return f"<details><summary>Time of the clusters of every layer</summary>{table(headings, rows)}</details>"


def _share_table(data: FigureData) -> str:
    account, names = data.timing.account, [use.name for use in data.timing.layers]
    headings = ["cluster", "layer", *(f"{CAUSE_LABELS[cause]} (us)" for cause in CAUSES)]
    columns = (account.cluster, account.layer, account.time_ps)
    rows = [
        [str(cluster), names[layer] if layer >= 0 else "", *(f"{ps / 1e6:,.2f}" for ps in own)]
        for cluster, layer, own in zip(*(column[:_N_CLUSTERS].tolist() for column in columns), strict=True)
    ]
    n_left = len(account.cluster) - len(rows)
    left = f"<p>And {n_left:,} more clusters: aimc report --json lists all.</p>" if n_left else ""
    return f"<details><summary>Time of every cluster</summary>{table(headings, rows, 2)}{left}</details>"


def _port_table(data: FigureData) -> str:
    headings = ["port", "level", "MB", "occupied"]
    rows = [
        [port.name, port.level, f"{port.n_bytes / 1e6:,.2f}", f"{port.busy_share:.1%}"]
        for port in data.timing.network.ports[:_N_PORTS]
    ]
    return f"<details><summary>Busiest ports</summary>{table(headings, rows, 2)}</details>"
