"""The chip's floor plan: which clusters work, and where the traffic is."""

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from traces.analysis.accounting import ANALOG, DIGITAL
from traces.plots import conclusions
from traces.plots.data import FigureData
from traces.plots.style import caption, new_figure


class FloorPlan(NamedTuple):
    """What a map of the chip shows; arrays have an entry per cluster of the chip.

    Attributes:
        columns, rows: where the cluster lies.
        work_percent: share of the makespan for which it works, not a number for unused ones.
        traffic_mb: what it sends and receives for an image.
    """

    columns: NDArray[np.int64]
    rows: NDArray[np.int64]
    work_percent: NDArray[np.float64]
    traffic_mb: NDArray[np.float64]

    def grid(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return values of clusters as a picture, (rows, columns)."""
        plan = np.full((self.rows.max() + 1, self.columns.max() + 1), np.nan)
        plan[self.rows, self.columns] = values
        return plan


def floor_plan(data: FigureData) -> FloorPlan | None:
    """Return the floor plan of the run's chip; None where the trace does not tell the shape of its tree."""
    fan_outs = _fan_outs(data)
    if int(np.prod(fan_outs, initial=1)) != data.report.clusters_total:
        return None
    account = data.timing.account
    work = np.full(data.report.clusters_total, np.nan)
    work[account.cluster] = 100 * account.time_ps[:, [ANALOG, DIGITAL]].sum(axis=1) / account.makespan_ps
    return FloorPlan(*cluster_positions(fan_outs), work, _traffic_mb_per_image(data))


def draw_floor_plan(data: FigureData) -> Figure | None:
    """Draw a square per cluster, by the share of time that it works and by the bytes that it sends and receives."""
    plan = floor_plan(data)
    if plan is None:
        return None
    traffic = np.where(np.isnan(plan.work_percent), np.nan, plan.traffic_mb)
    figure = new_figure(2.3 if plan.columns.max() >= 2 * plan.rows.max() else 3.4)
    for axes, values, label, colors in zip(
        figure.subplots(1, 2), (plan.work_percent, traffic),
        ("works (% of the makespan)", "sends and receives (MB per image)"), ("viridis", "inferno"), strict=True,
    ):  # fmt: skip
        grid = plan.grid(values)
        axes.set_facecolor("#e4e4e4")
        image = axes.imshow(grid, cmap=colors, vmin=0, interpolation="nearest")
        figure.colorbar(image, ax=axes, label=label, shrink=0.8)
        _draw_borders(axes, _fan_outs(data), grid.shape)
        axes.set_xticks([])
        axes.set_yticks([])
    caption(figure, conclusions.on_floor_plan(data, plan.traffic_mb))
    return figure


def _fan_outs(data: FigureData) -> list[int]:
    chip = data.report.chip
    return [level.fan_out for level in chip.topology.levels] if chip else []


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


def _draw_borders(axes: Axes, fan_outs: list[int], shape: tuple[int, ...]) -> None:
    """Draw lines between the subtrees of the root."""
    inner_columns, inner_rows = cluster_positions(fan_outs[1:])
    for step, length, draw in (
        (int(inner_columns.max()) + 1, shape[1], axes.axvline),
        (int(inner_rows.max()) + 1, shape[0], axes.axhline),
    ):
        for at in range(step, length, step):
            draw(at - 0.5, color="white", linewidth=1.2)


def _traffic_mb_per_image(data: FigureData) -> NDArray[np.float64]:
    """Return the megabytes that each cluster of the chip sends and receives for an image."""
    channels, site = data.trace["channels"], data.trace["actors"]["site"].astype(np.int64)
    ends = site[channels["producer"]], site[channels["consumer"]]
    travels = ends[0] != ends[1]
    total = np.zeros(data.report.clusters_total + 1)
    for end in ends:
        np.add.at(total, end[travels], channels["n_bytes"][travels] / 1e6)
    return total[:-1]
