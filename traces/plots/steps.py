"""Throughput by mapping step: runs side by side, as the paper draws them."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from traces.plots.style import SERIES_COLORS, caption, new_figure
from traces.report import Report


def draw_steps(labels: Sequence[str], reports: Sequence[Report]) -> Figure:
    """Draw the throughput of runs over the batch, with the clusters that each uses and its gain over the one before.

    Args:
        labels: what the runs are called.
        reports: their reports; those without a timing plane show nothing.
    """
    rates = [report.timing.throughput.images_per_second if report.timing else 0.0 for report in reports]
    figure = new_figure(2.7)
    axes = figure.add_subplot()
    axes.bar(range(len(rates)), rates, width=0.55, color=SERIES_COLORS[0])
    for i, rate in enumerate(rates):
        gain = f"\n{rate / rates[i - 1]:.2f} times the step before" if i and rates[i - 1] else ""
        axes.text(i, rate, f"{rate:,.0f} images/s{gain}", ha="center", va="bottom")
    ticks = [f"{label}\n{report.clusters_used} clusters" for label, report in zip(labels, reports, strict=True)]
    axes.set_xticks(range(len(rates)), ticks, parse_math=False)
    axes.set_ylabel("images/s over the batch")
    axes.margins(y=0.22)
    best = max(range(len(rates)), key=lambda i: rates[i])
    first = f", {rates[best] / rates[0]:,.1f} times {labels[0]}" if best and rates[0] else ""
    caption(figure, f"{labels[best]} is fastest with {rates[best]:,.0f} images/s{first}.")
    return figure
