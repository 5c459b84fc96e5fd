"""A comparison of runs as one interactive page."""

from html import escape
from pathlib import Path
from typing import Any

from traces.analysis.accounting import CAUSES
from traces.compare import RunComparison
from traces.compare_text import figure_cells, layer_cells
from traces.figure_names import figure_name
from traces.html.page import CHART_CONFIG, plotly_script, table, write_html
from traces.plots.style import CAUSE_COLORS, CAUSE_LABELS, SERIES_COLORS


def write_comparison(comparison: RunComparison, path: Path) -> None:
    """Write a comparison as a page.

    Raises:
        TraceError: plotly is not installed, or the file cannot be written.
    """
    script, labels = plotly_script(), list(comparison.labels)
    asked = [
        [each.file, each.key, *("-" if value is None else str(value) for value in each.values)]
        for each in comparison.differences
    ]
    found = [
        [figure_name(name), *figure_cells(values)]
        for name, values in comparison.figures.items()
        if any(value is not None for value in values)
    ]
    layers = [[change.layer, *layer_cells(comparison, i)] for i, change in enumerate(comparison.layers)]
    title = " / ".join(labels)
    parts = [
        f"<h1>{escape(title)}</h1>",
        "<h2>What came out</h2><p>In brackets: over the first run.</p>",
        _rates(comparison),
        table(["figure", *labels], found),
        "<h2>Where the time went</h2><p>Mean over the used clusters of each run.</p>",
        _shares(comparison),
        "<h2>What was asked for</h2>",
        table(["file", "key", *labels], asked, 2) if asked else "<p>All files of the runs say the same.</p>",
        "<h2>Layers</h2>",
        "<p>Clusters, and the busiest one's share of the makespan; * sits on other clusters than in the first run.</p>",
        table(["layer", *labels], layers),
    ]
    write_html(path, title, script, parts)


def _rates(comparison: RunComparison) -> str:
    import plotly.graph_objects as go

    rates = comparison.figures["images_per_second"]
    text = ["not timed" if rate is None else f"{rate:,.0f}" for rate in rates]
    bar = go.Bar(x=list(comparison.labels), y=rates, text=text, marker={"color": SERIES_COLORS[0]})
    return _chart([bar], "images/s over the batch", "rates")


def _shares(comparison: RunComparison) -> str:
    import plotly.graph_objects as go

    timed = [(label, r.timing) for label, r in zip(comparison.labels, comparison.reports, strict=True) if r.timing]
    names, accounts = [label for label, _ in timed], [timing.account for _, timing in timed]
    bars = []
    for i, cause in enumerate(CAUSES):
        shares = [100 * float(a.time_ps[:, i].sum() / (len(a.cluster) * a.makespan_ps)) for a in accounts]
        bars.append(go.Bar(x=names, y=shares, name=CAUSE_LABELS[cause], marker={"color": CAUSE_COLORS[cause]}))
    return _chart(bars, "% of the makespan", "shares")


def _chart(bars: list[Any], y: str, name: str) -> str:
    import plotly.graph_objects as go

    margin = {"l": 60, "r": 15, "t": 32, "b": 40}
    figure = go.Figure(bars)
    figure.update_layout(template="plotly_white", height=340, margin=margin, yaxis_title=y, barmode="stack")
    text: str = figure.to_html(full_html=False, include_plotlyjs=False, config=CHART_CONFIG, div_id=name)
    return text
