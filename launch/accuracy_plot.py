"""Accuracy over time, ADC bits and crossbar size, as a picture."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from launch.accuracy_table import Accuracy, Point

#: Okabe and Ito's colours, which people with any colour vision tell apart.
_COLORS = ("#0072B2", "#D55E00", "#009E73")

#: Where the axis of accuracies begins at the latest: leaves room for the legend, and small differences small.
_LOWEST_AT_LEAST = 88


def draw_accuracy(accuracy: Accuracy, path: Path) -> None:
    """Draw the curves that an accuracy has and write them to a PNG file."""
    panels = [panel for panel in _PANELS if any(group in accuracy.groups() for group in panel[1])]
    figure = Figure(figsize=(4.6 * max(1, len(panels)), 3.9), layout="constrained")
    axes = figure.subplots(1, max(1, len(panels)), squeeze=False)[0]
    for axis, (title, groups, prepare_axis) in zip(axes, panels, strict=False):
        _draw_panel(axis, accuracy, groups)
        axis.set_title(title, loc="left", fontsize=10)
        prepare_axis(axis, [point for group in groups for point in accuracy.groups().get(group, [])])
    axes[0].set_ylabel(f"accuracy over {accuracy.n_images} images")
    figure.suptitle(accuracy.name, x=0.01, ha="left", fontsize=11, fontweight="bold")
    figure.savefig(path, dpi=150)


def _draw_panel(axis: Axes, accuracy: Accuracy, groups: Sequence[str]) -> None:
    axis.axhline(100 * accuracy.int8_accuracy, color="0.4", linewidth=1, label="int8")
    if accuracy.float_accuracy is not None:
        axis.axhline(100 * accuracy.float_accuracy, color="0.4", linewidth=1, linestyle=":", label="float")
    for group, color in zip(groups, _COLORS, strict=False):
        points = [point for point in accuracy.groups().get(group, []) if point.x is not None]
        if points:
            errors = [[100 * each for each in side] for side in zip(*(point.errors for point in points), strict=True)]
            axis.errorbar(
                [_x_of(point) for point in points], [100 * point.mean for point in points], errors,
                color=color, marker="o", markersize=4, capsize=3, linewidth=1.5, label=group,
            )  # fmt: skip
    lowest, _ = axis.get_ylim()
    lowest = max(0.0, min(lowest, _LOWEST_AT_LEAST))
    axis.set_ylim(lowest, 101)  # no accuracy is below 0 or above 100 %, whatever the intervals say
    axis.yaxis.set_major_formatter("{x:.3g} %")
    axis.grid(visible=True, axis="y", color="0.9")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8, loc="best")


def _x_of(point: Point) -> float:
    assert point.x is not None
    return point.x


def _age_axis(axis: Axes, points: Sequence[Point]) -> None:
    ages = {point.x: point.label for point in points if point.x}
    axis.set_xscale("log")
    axis.set_xticks(list(ages), list(ages.values()), fontsize=8)
    axis.minorticks_off()
    axis.set_xlabel("time since programming")


def _bits_axis(axis: Axes, points: Sequence[Point]) -> None:
    axis.set_xticks(sorted({point.x for point in points if point.x is not None}))
    axis.set_xlabel("ADC bits")


def _size_axis(axis: Axes, points: Sequence[Point]) -> None:
    sizes = sorted({point.x for point in points if point.x is not None})
    axis.set_xscale("log", base=2)
    axis.set_xticks(sizes, [f"{size:.0f}" for size in sizes])
    axis.minorticks_off()
    axis.set_xlabel("rows and columns of a crossbar")


_PANELS: tuple[tuple[str, tuple[str, ...], Callable[[Axes, Sequence[Point]], Any]], ...] = (
    ("Drift", ("drift, compensated", "drift, not compensated"), _age_axis),
    ("Converters", ("ADC alone", "ADC with all models"), _bits_axis),
    ("Crossbar size", ("crossbar size",), _size_axis),
)
