"""Where the time of every cluster went, as the paper draws it: one column per cluster, coloured by cause."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from traces.analysis.accounting import CAUSES
from traces.plots import conclusions
from traces.plots.data import FigureData
from traces.plots.style import CAUSE_COLORS, CAUSE_LABELS, caption, new_figure

#: More columns than this could not be told apart in print: neighbours are averaged.
_MAX_COLUMNS = 700
#: Of a group's name, as a share of the axis.
_LABEL_WIDTH = 0.06


def draw_time_breakdown(data: FigureData) -> Figure:
    """Draw the share of each cause for every used cluster, along the pipeline."""
    account = data.timing.account
    order = np.lexsort((account.cluster, account.layer))
    shares = account.time_ps[order] / account.makespan_ps
    step = -(-len(shares) // _MAX_COLUMNS)
    begins = np.arange(0, len(shares), step)
    columns = np.add.reduceat(shares, begins) / np.diff([*begins, len(shares)])[:, None]
    figure = new_figure(3.1)
    axes = figure.add_subplot()
    bottom = np.zeros(len(columns) + 1)
    edges = np.array([*begins, len(shares)])
    for i, cause in enumerate(CAUSES):
        top = bottom + np.append(columns[:, i], columns[-1, i])
        axes.fill_between(edges, 100 * bottom, 100 * top, step="post", color=CAUSE_COLORS[cause], linewidth=0)
        axes.plot([], [], "s", color=CAUSE_COLORS[cause], label=CAUSE_LABELS[cause])
        bottom = top
    axes.set(xlim=(0, len(shares)), ylim=(0, 100), ylabel="time of the makespan (%)")
    _label_groups(axes, data, account.layer[order])
    figure.legend(loc="outside lower center", ncols=len(CAUSES), handletextpad=0.2, columnspacing=1.2)
    caption(figure, conclusions.on_time_breakdown(data))
    return figure


def _label_groups(axes: Axes, data: FigureData, layer: NDArray[np.int64]) -> None:
    """Mark where the clusters of each layer group begin and name them below."""
    of_layer = {row: group.name for group in data.timing.groups for row in group.layers}
    names = [of_layer.get(row, "others") for row in layer.tolist()]
    begins = [i for i, name in enumerate(names) if i == 0 or name != names[i - 1]]
    ends = [*begins[1:], len(names)]
    placed: list[float] = []
    for begin, end in sorted(zip(begins, ends, strict=True), key=lambda group: group[0] - group[1]):
        axes.axvline(begin, color="black", linewidth=0.5)
        middle = (begin + end) / 2
        if all(abs(middle - other) > _LABEL_WIDTH * len(names) for other in placed):  # the larger group's name stays
            axes.text(middle, -3, names[begin], ha="center", va="top", fontsize=6.5)
            placed.append(middle)
    axes.set_xticks([])
    axes.set_xlabel(f"{len(names)} clusters along the pipeline, by size of their output feature map", labelpad=14)
