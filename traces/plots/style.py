"""How our figures look: at the width of a printed page, in colours that colour-blind readers tell apart."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import fill
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from traces.errors import TraceError

#: Okabe and Ito's palette for what happens, pale shades for what does not; by the names in ``accounting.CAUSES``.
CAUSE_COLORS = {
    "analog": "#0072b2",
    "digital": "#e69f00",
    "communication": "#d55e00",
    "synchronization": "#f0e442",
    "input": "#c6dbef",
    "consumers": "#cc79a7",
    "sleep": "#efefef",
}
CAUSE_LABELS = {
    "analog": "analog work",
    "digital": "digital work",
    "communication": "communication",
    "synchronization": "synchronisation",
    "input": "waits for input",
    "consumers": "waits for consumers",
    "sleep": "sleeps",
}
#: For series without a meaning of their own.
SERIES_COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#999999", "#000000")

_DPI = 200
#: Two columns of a printed page, in inches, and about as many letters of the caption's size.
PAGE_WIDTH = 7.1
_CAPTION_LETTERS = 108

_STYLE: Any = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.0,
}


def new_figure(height: float) -> Figure:
    """Return an empty figure, ``height`` inches high and as wide as a page."""
    figure = Figure(figsize=(PAGE_WIDTH, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def label_log_x(axes: Axes) -> None:
    """Write plain numbers on a logarithmic axis: at 1, 2 and 5 of every decade, or evenly where it spans only one."""
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if high > 10 * low else MaxNLocator(5))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def caption(figure: Figure, text: str) -> None:
    """Say over a figure what to conclude from it."""
    figure.suptitle(fill(text, _CAPTION_LETTERS), x=0.01, ha="left", fontsize=8.5, parse_math=False)


@contextmanager
def styled() -> Iterator[None]:
    """Give figures our style; outside nothing changes."""
    with rc_context(_STYLE):
        yield


def save(figure: Figure, path: Path) -> None:
    """Write a figure; the end of the name decides on the format.

    Raises:
        TraceError: there is no such format, or it cannot be written.
    """
    form = path.suffix.removeprefix(".").lower()
    if form and form not in (known := figure.canvas.get_supported_filetypes()):
        raise TraceError(f"{path}: no picture is written as '{form}'; expected a name that ends in {', '.join(known)}")
    try:
        figure.savefig(path)
    except OSError as error:
        raise TraceError(f"{path}: the picture cannot be written: {error.strerror}; choose another place") from None
