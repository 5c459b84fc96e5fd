"""All figures of a run: which there are, and drawing them into a folder."""

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from traces.errors import TraceError
from traces.plots.chip_map import draw_floor_plan
from traces.plots.data import FigureData
from traces.plots.losses import draw_area_efficiency, draw_energy, draw_roofline, draw_waterfall
from traces.plots.network import draw_network, draw_queues
from traces.plots.style import save, styled
from traces.plots.time_breakdown import draw_time_breakdown
from traces.plots.timeline import draw_timeline

#: By file name; a function returns None where a run has nothing to show.
FIGURES: dict[str, Callable[[FigureData], Figure | None]] = {
    "timeline": draw_timeline,
    "time_breakdown": draw_time_breakdown,
    "waterfall": draw_waterfall,
    "area_efficiency": draw_area_efficiency,
    "roofline": draw_roofline,
    "energy": draw_energy,
    "floor_plan": draw_floor_plan,
    "network": draw_network,
    "queues": draw_queues,
}


def draw_figures(data: FigureData, folder: Path) -> list[Path]:
    """Draw all figures as PNG files into a folder, which is made if it is not there; return those that were drawn.

    Raises:
        TraceError: the folder or a picture cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TraceError(f"{folder}: the folder cannot be made: {error.strerror}; choose another place") from None
    paths = {name: folder / f"{name}.png" for name in FIGURES}
    return [path for name, path in paths.items() if draw_figure(data, name, path)]


def draw_figure(data: FigureData, name: str, path: Path) -> bool:
    """Draw one figure; tell whether the run had something to show.

    Raises:
        TraceError: the picture cannot be written.
    """
    with styled():
        figure = FIGURES[name](data)
        if figure is not None:
            save(figure, path)
    return figure is not None
