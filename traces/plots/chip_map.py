"""The chip's floor plan: which clusters work, and where the traffic is."""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from traces.analysis.accounting import ANALOG, DIGITAL
from traces.plots import conclusions
from traces.plots.data import FigureData
from traces.plots.style import caption, new_figure


def draw_floor_plan(data: FigureData) -> Figure | None:
    """Draw a square per cluster, by the share of time that it works and by the bytes that it sends and receives."""
    fan_outs = [level.fan_out for level in data.report.chip.topology.levels] if data.report.chip else []
    n_clusters = data.report.clusters_total
    if int(np.prod(fan_outs, initial=1)) != n_clusters:
        return None
    columns, rows = cluster_positions(fan_outs)
    account = data.timing.account
    work = np.full(n_clusters, np.nan)
    work[account.cluster] = 100 * account.time_ps[:, [ANALOG, DIGITAL]].sum(axis=1) / account.makespan_ps
    traffic_mb = traffic_mb_per_image(data)
    traffic = np.where(np.isnan(work), np.nan, traffic_mb)
    figure = new_figure(2.3 if columns.max() >= 2 * rows.max() else 3.4)
    for axes, values, label, colors in zip(
        figure.subplots(1, 2), (work, traffic), ("works (% of the makespan)", "sends and receives (MB per image)"),
        ("viridis", "inferno"), strict=True,
    ):  # fmt: skip
        plan = np.full((rows.max() + 1, columns.max() + 1), np.nan)
        plan[rows, columns] = values
        axes.set_facecolor("#e4e4e4")
        image = axes.imshow(plan, cmap=colors, vmin=0, interpolation="nearest")
        figure.colorbar(image, ax=axes, label=label, shrink=0.8)
        _draw_borders(axes, fan_outs, plan.shape)
        axes.set_xticks([])
        axes.set_yticks([])
    caption(figure, conclusions.on_floor_plan(data, traffic_mb))
    return figure


def cluster_positions(fan_outs: list[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return column and row of each cluster: every node of the tree is a block of its children, nearly square."""
    columns, rows = np.zeros(1, np.int64), np.zeros(1, np.int64)
    for fan_out in reversed(fan_outs):
        width = next(w for w in range(int(np.ceil(np.sqrt(fan_out))), fan_out + 1) if fan_out % w == 0)
        child = np.repeat(np.arange(fan_out), len(columns))
        block_width, block_height = columns.max() + 1, rows.max() + 1
        columns = np.tile(columns, fan_out) + child % width * block_width
        rows = np.tile(rows, fan_out) + child // width * block_height
    return columns, rows


def _draw_borders(axes: object, fan_outs: list[int], shape: tuple[int, ...]) -> None:
    """Draw lines between the subtrees of the root."""
    inner_columns, inner_rows = cluster_positions(fan_outs[1:])
    for step, length, draw in (
        (int(inner_columns.max()) + 1, shape[1], axes.axvline),  # type: ignore[attr-defined]
        (int(inner_rows.max()) + 1, shape[0], axes.axhline),  # type: ignore[attr-defined]
    ):
        for at in range(step, length, step):
            draw(at - 0.5, color="white", linewidth=1.2)


def traffic_mb_per_image(data: FigureData) -> NDArray[np.float64]:
    """Return the megabytes that each cluster of the chip sends and receives for an image."""
    channels, site = data.trace["channels"], data.trace["actors"]["site"].astype(np.int64)
    ends = site[channels["producer"]], site[channels["consumer"]]
    travels = ends[0] != ends[1]
    total = np.zeros(data.report.clusters_total + 1)
    for end in ends:
        np.add.at(total, end[travels], channels["n_bytes"][travels] / 1e6)
    return total[:-1]
