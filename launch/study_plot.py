"""A picture of each sweep over numbers: throughput against what was varied, with the bound."""

from collections.abc import Sequence
from pathlib import Path

from launch.study_file import Sweep
from launch.study_table import Row

#: A sweep of fewer values is read more easily from the table.
_LEAST_POINTS = 3


def plot_sweep(sweep: Sweep, rows: Sequence[Row], path: Path) -> bool:
    """Draw a sweep to a PNG file; returns False and draws nothing if its values are too few or not all numbers.

    Args:
        sweep: the sweep.
        rows: its cases' results, in the order of its values.
        path: where to draw.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    values = [_number(value) for value in sweep.values]
    unit = _unit(sweep.values[0])
    points = [(value, row) for value, row in zip(values, rows, strict=True) if value is not None and not row.infeasible]
    if len(values) < _LEAST_POINTS or None in values or not points:
        return False
    x = [value for value, _ in points]
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    series = {
        "bound of the relaxed problem, steady state": (
            [row.bound_images_per_second for _, row in points],
            "k",
            "--",
            "",
        ),
        "steady state": ([row.images_per_second_steady for _, row in points], "#0072B2", "-", "s"),
        "over the batch": ([row.images_per_second for _, row in points], "#D55E00", "-", "o"),
    }
    for label, (y, color, style, marker) in series.items():
        known = [(at, value) for at, value in zip(x, y, strict=True) if value is not None]
        if known:
            axes.plot(*zip(*known, strict=True), color=color, linestyle=style, marker=marker, markersize=4, label=label)
    axes.set_xlabel(f"{sweep.vary}{f' ({unit})' if unit else ''}")
    axes.set_ylabel("images/s")
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(frameon=False)
    axes.set_title(f"{sweep.name}: throughput against {sweep.vary.rpartition('.')[2]}", loc="left")
    figure.savefig(path, dpi=150)
    return True


def _number(value: object) -> float | None:
    """Return a number, or that at the start of a text such as ``100 cycles``; None if there is none."""
    if isinstance(value, bool):
        return None
    try:
        return float(str(value).split()[0])
    except (ValueError, IndexError):
        return None


def _unit(value: object) -> str:
    return " ".join(str(value).split()[1:])
