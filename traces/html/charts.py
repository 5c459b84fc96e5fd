"""The figures of a run as interactive charts: the same numbers as the pictures, to be zoomed and pointed at."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from traces.analysis.accounting import CAUSES
from traces.analysis.network import N_TIME_BINS
from traces.analysis.queues import tokens_waiting
from traces.digits import rounded, significant
from traces.energy import COMPONENTS
from traces.plots import conclusions
from traces.plots.chip_map import floor_plan
from traces.plots.data import FigureData
from traces.plots.network import N_QUEUES
from traces.plots.style import CAUSE_COLORS, CAUSE_LABELS, SERIES_COLORS
from traces.plots.timeline import busy_shares, n_per_row
from traces.schema import Resource

_BLUE, _ORANGE, _GREEN = SERIES_COLORS[:3]
_N_TIMELINE_BINS = 300
#: More rows or columns than this are averaged: a page must stay small and quick.
_MAX_CLUSTERS = 700
#: Layers in a chart with a bar for each: those that matter most.
_MAX_LAYERS = 60


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart with its heading and what to conclude from it."""

    heading: str
    conclusion: str
    figure: go.Figure


def make_charts(data: FigureData) -> list[Chart]:
    """Return all charts that the run has something to show for."""
    makers: tuple[Callable[[FigureData], Chart | None], ...] = (
        _time_breakdown, _timeline, _waterfall, _limits, _area_efficiency, _energy, _floor_plan, _network, _hbm, _queues
    )  # fmt: skip
    return [chart for make in makers if (chart := make(data)) is not None]


def _figure(traces: list[Any], *, x: str, y: str, height: int = 380, **layout: object) -> go.Figure:
    figure = go.Figure(traces)
    figure.update_layout(
        template="plotly_white",
        height=height,
        margin={"l": 60, "r": 15, "t": 15, "b": 50},
        xaxis_title=x,
        yaxis_title=y,
        legend={"orientation": "h", "y": -0.25, "font": {"size": 11}},
        font={"size": 12},
        **layout,
    )
    return figure


def _averaged(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Average neighbouring rows until there are few enough; return them and the first row of each."""
    step = -(-len(rows) // _MAX_CLUSTERS)
    begins = np.arange(0, len(rows), step)
    return np.add.reduceat(rows, begins) / np.diff([*begins, len(rows)])[:, None], begins


def _time_breakdown(data: FigureData) -> Chart:
    account = data.timing.account
    order = np.lexsort((account.cluster, account.layer))
    shares, begins = _averaged(100 * account.time_ps[order] / account.makespan_ps)
    names = [use.name for use in data.timing.layers]
    layers = account.layer[order][begins].tolist()
    about = [
        f"cluster {cluster}, {names[layer] if layer >= 0 else 'no layer'}"
        for cluster, layer in zip(account.cluster[order][begins].tolist(), layers, strict=True)
    ]
    bars = [
        go.Bar(
            x=list(range(len(begins))), y=np.round(shares[:, i], 2), name=CAUSE_LABELS[cause], customdata=about,
            marker={"color": CAUSE_COLORS[cause], "line": {"width": 0}},
            hovertemplate="%{customdata}<br>%{y:.1f} % " + CAUSE_LABELS[cause] + "<extra></extra>",
        )
        for i, cause in enumerate(CAUSES)
    ]  # fmt: skip
    figure = _figure(bars, x="clusters along the pipeline", y="% of the makespan", barmode="stack", bargap=0)
    return Chart("Where the time went", conclusions.on_time_breakdown(data), figure)


def _timeline(data: FigureData) -> Chart:
    # Positive is the IMA, negative the cores: the longer of the two decides on the colour.
    ima, cores = (busy_shares(data, unit, _N_TIMELINE_BINS, _MAX_CLUSTERS) for unit in (Resource.IMA, Resource.CORES))
    shown, clusters = np.where(ima >= cores, ima, -cores), data.timing.clusters.cluster
    clusters = clusters[:: n_per_row(len(clusters), _MAX_CLUSTERS)]
    edges_ms = (np.arange(_N_TIMELINE_BINS) + 0.5) / _N_TIMELINE_BINS * data.makespan_ms
    heat = go.Heatmap(
        x=np.round(edges_ms, 5), y=clusters, z=np.round(100 * shown).astype(int), zmin=-100,
        zmax=100, colorscale=[[0, _ORANGE], [0.5, "#ffffff"], [1, _BLUE]], hoverongaps=False,
        colorbar={"title": "% busy", "tickvals": [-100, 0, 100], "ticktext": ["cores", "idle", "IMA"], "thickness": 10},
        hovertemplate="cluster %{y}, %{x:.3f} ms: %{z} %<extra></extra>",
    )  # fmt: skip
    figure = _figure([heat], x="emulated time (ms)", y="cluster", height=560)
    figure.update_yaxes(autorange="reversed")
    return Chart("Timeline", conclusions.on_timeline(data), figure)


def _waterfall(data: FigureData) -> Chart | None:
    waterfall = data.timing.waterfall
    if waterfall is None:
        return None
    names = ["ideal peak", *(name.replace("_", " ") for name in waterfall.factors)]
    levels = [waterfall.peak_tops, *waterfall.tops_after]
    labels = [significant(waterfall.peak_tops, 4)]
    labels += [
        f"{significant(left, 3)}<br>÷ {factor:,.2f}"
        for left, factor in zip(waterfall.tops_after, waterfall.factors.values(), strict=True)
    ]
    bar = go.Bar(x=names, y=levels, text=labels, textposition="outside", marker={"color": _BLUE}, cliponaxis=False)
    figure = _figure([bar], x="", y="TOPS left of the peak", yaxis_type="log")
    figure.update_yaxes(range=[np.log10(min(levels) / 3), np.log10(max(levels) * 3)])
    return Chart("Losses against the peak", conclusions.on_waterfall(data), figure)


def _limits(data: FigureData) -> Chart | None:
    limits = data.timing.limits
    if not limits:
        return None
    bar = go.Bar(
        y=[limit.kind for limit in limits], x=[limit.images_per_second for limit in limits], orientation="h",
        text=[f"{limit.images_per_second:,.0f}<br>{limit.where}" for limit in limits], marker={"color": _BLUE},
    )  # fmt: skip
    figure = _figure([bar], x="images/s that the busiest of its kind allows", y="", xaxis_type="log")
    figure.update_yaxes(autorange="reversed")
    return Chart("Limits", conclusions.on_roofline(data), figure)


def _area_efficiency(data: FigureData) -> Chart | None:
    groups = [group for group in data.timing.groups if group.gops_per_mm2 and group.gops_per_mm2_alone]
    if not groups:
        return None
    names = [f"{group.name} ({rounded(group.n_clusters_held)})" for group in groups]
    bars = [
        go.Bar(x=names, y=[g.gops_per_mm2_alone for g in groups], name="alone", marker={"color": _GREEN}),
        go.Bar(x=names, y=[g.gops_per_mm2 for g in groups], name="in the pipeline", marker={"color": _BLUE}),
    ]
    figure = _figure(bars, x="output feature map (clusters that it holds)", y="GOPS/mm²")
    return Chart("Area efficiency by layer group", conclusions.on_area_efficiency(data), figure)


def _energy(data: FigureData) -> Chart | None:
    use = data.timing.energy
    if use is None:
        return None
    total_pj = {name: sum(parts.values()) for name, parts in use.energy_pj.items()}
    most = set(sorted(total_pj, key=lambda name: -total_pj[name])[:_MAX_LAYERS])
    names = [name for name in use.energy_pj if name in most]
    per_image = 1e-9 / data.report.n_images
    bars = [
        go.Bar(
            y=names, x=[use.energy_pj[name][component] * per_image for name in names], name=component, orientation="h",
            marker={"color": SERIES_COLORS[i % 9], "pattern": {"shape": "/" if i >= 9 else ""}},
            hovertemplate="%{y}: %{x:.4f} mJ " + component + "<extra></extra>",
        )
        for i, component in enumerate(COMPONENTS)
    ]  # fmt: skip
    figure = _figure(bars, x="energy per image (mJ)", y="", height=140 + 18 * len(names), barmode="stack")
    figure.update_yaxes(autorange="reversed")
    return Chart("Energy by layer and component", conclusions.on_energy(data), figure)


def _floor_plan(data: FigureData) -> Chart | None:
    plan = floor_plan(data)
    if plan is None:
        return None
    work = plan.grid(plan.work_percent)
    about = np.full(work.shape, "", object)
    about[plan.rows, plan.columns] = [f"cluster {i}: {mb:.3f} MB per image" for i, mb in enumerate(plan.traffic_mb)]
    heat = go.Heatmap(
        z=np.round(work, 1), customdata=about, colorscale="Viridis", zmin=0, xgap=1,
        ygap=1, hoverongaps=False, colorbar={"title": "% works", "thickness": 10},
        hovertemplate="%{customdata}<br>works %{z} % of the makespan<extra></extra>",
    )  # fmt: skip
    figure = _figure([heat], x="", y="", plot_bgcolor="#e4e4e4")
    figure.update_yaxes(autorange="reversed", showticklabels=False, scaleanchor="x", constrain="domain", showgrid=False)
    figure.update_xaxes(showticklabels=False, constrain="domain", showgrid=False)
    return Chart("Floor plan", conclusions.on_floor_plan(data, plan.traffic_mb), figure)


def _network(data: FigureData) -> Chart | None:
    network = data.timing.network
    if not network.ports or not network.latencies.n_transfers:
        return None
    latencies = network.latencies
    middles_ns = np.sqrt(latencies.edges_ps[1:] * latencies.edges_ps[:-1]) / 1e3
    bar = go.Bar(
        x=middles_ns, y=100 * latencies.n_in_bin / latencies.n_transfers, width=np.diff(latencies.edges_ps) / 1e3,
        marker={"color": _BLUE}, hovertemplate="%{x:,.0f} ns: %{y:.2f} %<extra></extra>",
    )  # fmt: skip
    figure = _figure([bar], x="travel time of a transfer (ns)", y="% of transfers", xaxis_type="log")
    return Chart("Network", conclusions.on_network(data), figure)


def _over_time(data: FigureData, series: dict[str, NDArray[np.float64]], y: str) -> go.Figure:
    middles_ms = np.round((np.arange(N_TIME_BINS) + 0.5) / N_TIME_BINS * data.makespan_ms, 5)
    lines = [
        go.Scatter(x=middles_ms, y=np.round(values, 3), name=name, line={"color": SERIES_COLORS[i], "width": 1})
        for i, (name, values) in enumerate(series.items())
    ]
    return _figure(lines, x="emulated time (ms)", y=y)


def _hbm(data: FigureData) -> Chart:
    read, written = data.timing.network.hbm_bytes_per_second / 1e9
    text = f"At most {max(read.max(), written.max()):,.1f} GB/s, {(read + written).mean():,.2f} GB/s on average."
    return Chart("HBM bandwidth", text, _over_time(data, {"read": read, "written": written}, "GB/s"))


def _queues(data: FigureData) -> Chart | None:
    waiting = tokens_waiting(data.trace, data.records, data.timing.throughput, N_QUEUES)
    if not waiting:
        return None
    figure = _over_time(data, waiting, "tokens waiting or on their way")
    return Chart("Queues", conclusions.on_queues(waiting), figure)
