"""What becomes of the peak: losses step by step, efficiency by layer group, roofline, energy."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from traces.digits import rounded, significant
from traces.energy import COMPONENTS
from traces.plots import conclusions
from traces.plots.data import FigureData
from traces.plots.style import SERIES_COLORS, caption, label_log_x, new_figure

_BLUE, _ORANGE, _GREEN = SERIES_COLORS[:3]


def draw_waterfall(data: FigureData) -> Figure | None:
    """Draw the operations per second that are left after each loss; None without crossbars."""
    waterfall = data.timing.waterfall
    if waterfall is None:
        return None
    levels = [waterfall.peak_tops, *waterfall.tops_after]
    names = ["ideal peak", *(name.replace("_", "\n") for name in waterfall.factors)]
    figure = new_figure(2.9)
    axes = figure.add_subplot()
    axes.bar(range(len(levels)), levels, width=0.62, color=[_GREEN, *[_BLUE] * (len(levels) - 2), _ORANGE])
    for i, (level, factor) in enumerate(zip(levels, [None, *waterfall.factors.values()], strict=True)):
        axes.text(i, level * 1.08, f"{significant(level, 3)} TOPS", ha="center", va="bottom")
        if factor is not None:
            axes.annotate("", (i - 0.31, level), (i - 0.31, levels[i - 1]), arrowprops={"arrowstyle": "->", "lw": 0.8})
            axes.text(i - 0.36, np.sqrt(level * levels[i - 1]), f"÷ {factor:,.2f}", ha="right", va="center")
    axes.set_yscale("log")
    axes.set_ylim(min(levels) / 3, max(levels) * 2.2)
    own_mapping = data.report.published_note is None  # published factors belong to the published mapping alone
    published = {each.figure: each.published for each in data.report.comparisons() if own_mapping}
    ticks = list(names)
    for i, name in enumerate(waterfall.factors, start=1):
        value = published.get(f"loss_factors.{name}")
        ticks[i] += f"\n(published ÷ {value:g})" if value else ""
    axes.set_xticks(range(len(levels)), ticks)
    axes.set_ylabel("left of the peak (TOPS)")
    caption(figure, conclusions.on_waterfall(data))
    return figure


def draw_area_efficiency(data: FigureData) -> Figure | None:
    """Draw the operations per second and area of each layer group; None without areas."""
    groups = [group for group in data.timing.groups if group.gops_per_mm2 and group.gops_per_mm2_alone]
    if not groups:
        return None
    alone = [group.gops_per_mm2_alone or 0 for group in groups]
    together = [group.gops_per_mm2 or 0 for group in groups]
    figure = new_figure(2.9)
    axes = figure.add_subplot()
    where = np.arange(len(groups))
    for values, offset, color, label in (
        (alone, -0.2, _GREEN, "alone: its busiest unit never waits"),
        (together, 0.2, _BLUE, "in the pipeline, over the batch"),
    ):
        bars = axes.bar(where + offset, values, width=0.38, color=color, label=label)
        axes.bar_label(bars, fmt=lambda value: significant(value, 3), fontsize=6.5, padding=1)
    axes.set_xticks(where, [f"{group.name}\n{rounded(group.n_clusters_held)} clusters" for group in groups])
    axes.set_ylabel("GOPS/mm² of clusters held")
    axes.set_xlabel("layers, by size of their output feature map")
    axes.margins(y=0.15)
    figure.legend(loc="outside lower center", ncols=2)
    caption(figure, conclusions.on_area_efficiency(data))
    return figure


def draw_roofline(data: FigureData) -> Figure | None:
    """Draw layer groups under the limits of crossbars and links, and each resource's limit; None without groups."""
    if not data.timing.roofline:
        return None
    figure = new_figure(2.8)
    left, right = figure.subplots(1, 2, width_ratios=(1.35, 1))
    _draw_roofs(left, data)
    limits = data.timing.limits
    reached = data.timing.throughput.images_per_second_steady or data.timing.throughput.images_per_second
    where = range(len(limits))
    bars = right.barh(where, [limit.images_per_second for limit in limits], color=_BLUE, height=0.6)
    right.bar_label(bars, [f" {limit.images_per_second:,.0f}" for limit in limits], fontsize=7)
    right.axvline(reached, color=_ORANGE, linewidth=1.2)
    right.set_title(f"reached: {reached:,.0f} images/s", color="#9a6a00", loc="left")
    right.set_yticks(where, [f"{limit.kind}" for limit in limits])
    right.invert_yaxis()
    right.set_xscale("log")
    right.xaxis.set_minor_formatter(NullFormatter())
    right.margins(x=0.35)
    right.set_xlabel("images/s that the busiest allows")
    caption(figure, conclusions.on_roofline(data))
    return figure


def _draw_roofs(axes: Axes, data: FigureData) -> None:
    """Draw each group's point below its own crossbars' and links' roof."""
    for i, point in enumerate(data.timing.roofline):
        color = SERIES_COLORS[i % len(SERIES_COLORS)]
        roof = min(point.analog_roof_tops, point.network_roof_tops)
        axes.plot([point.ops_per_byte] * 2, [point.tops, roof], color=color, linewidth=0.8, linestyle=":")
        axes.plot(point.ops_per_byte, point.tops, "o", color=color, markersize=5, label=point.group)
        axes.plot(point.ops_per_byte, point.analog_roof_tops, "_", color=color, markersize=10)
        axes.plot(point.ops_per_byte, point.network_roof_tops, "x", color=color, markersize=4)
    axes.plot([], [], "_", color="black", label="its crossbars, full and never idle")
    axes.plot([], [], "x", color="black", markersize=4, label="links into its clusters, never idle")
    axes.set_xscale("log")
    axes.set_yscale("log")
    label_log_x(axes)
    axes.set_xlabel("operations per byte that enters its clusters")
    axes.set_ylabel("TOPS")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=6, handletextpad=0.3)


def draw_energy(data: FigureData) -> Figure | None:
    """Draw the energy of an image by layer group and component; None without coefficients."""
    use, report = data.timing.energy, data.report
    if use is None:
        return None
    names = [layer.name for layer in data.timing.layers]
    members = [(group.name, [names[i] for i in group.layers]) for group in data.timing.groups]
    rows = [*members, ("chip", ["chip"])]
    figure = new_figure(2.9)
    axes = figure.add_subplot()
    left = np.zeros(len(rows))
    for i, component in enumerate(COMPONENTS):
        values = [sum(use.energy_pj[layer][component] for layer in layers) * 1e-9 for _, layers in rows]
        share = np.array(values) / report.n_images
        axes.barh(range(len(rows)), share, left=left, color=SERIES_COLORS[i % 9], height=0.65, label=component,
                  hatch="////" if i >= len(SERIES_COLORS) else None, edgecolor="white", linewidth=0.2)  # fmt: skip
        left += share
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("energy per image (mJ)")
    axes.set_ylabel("output feature map")
    figure.legend(loc="outside right center")
    caption(figure, conclusions.on_energy(data))
    return figure
