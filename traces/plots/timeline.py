"""One picture of a run: clusters from top to bottom along the pipeline, emulated time from left to right."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from traces.analysis.network import spread
from traces.analysis.throughput import completions_ps
from traces.plots import conclusions
from traces.plots.data import FigureData
from traces.plots.style import caption, new_figure
from traces.reader import Trace
from traces.schema import Resource

N_BINS = 500
#: More clusters than this could not be told apart in print.
MAX_ROWS = 1000
#: Okabe and Ito's colours for analog and digital work: told apart by colour-blind readers, too.
_COLORS = {Resource.IMA: (0.0, 0.447, 0.698), Resource.CORES: (0.902, 0.624, 0.0)}


def busy_shares(
    data: FigureData, resource: Resource, n_bins: int = N_BINS, max_rows: int = MAX_ROWS
) -> NDArray[np.float64]:
    """Return the share of each time bin in which a unit of each used cluster is busy, (rows, bins).

    A row is a cluster, or the mean of neighbours where there are more than ``max_rows``: ``n_per_row`` of them.
    """
    actors, timing, firings = data.trace["actors"], data.timing.throughput, data.records.firings
    site = actors["site"].astype(np.int64)
    clusters = np.unique(site[site < data.report.clusters_total])
    row_of_actor = np.searchsorted(clusters, site) // n_per_row(len(clusters), max_rows)
    n_in_row = np.bincount(np.arange(len(clusters)) // n_per_row(len(clusters), max_rows))
    shares = np.zeros((len(n_in_row), n_bins))
    scale = n_bins / timing.makespan_ps
    for actor in np.flatnonzero(actors["resource"] == resource).tolist():
        start, end = ((firings.rows(actor, name) - timing.begin_ps) * scale for name in ("start_ps", "end_ps"))
        shares[row_of_actor[actor]] += spread(start, end, end - start, n_bins)
    return np.clip(shares / n_in_row[:, None], 0, 1)


def n_per_row(n_clusters: int, max_rows: int = MAX_ROWS) -> int:
    """Return how many neighbouring clusters share a row of the picture."""
    return max(1, -(-n_clusters // max_rows))


def draw_timeline(data: FigureData) -> Figure:
    """Draw when every used cluster's IMA and cores were busy."""
    _, done = completions_ps(data.trace)
    ima, cores = busy_shares(data, Resource.IMA), busy_shares(data, Resource.CORES)
    picture = np.ones((*ima.shape, 3))
    for share, unit in ((ima, Resource.IMA), (cores, Resource.CORES)):
        depth = np.sqrt(share)  # so that a cluster which is busy for a hundredth of the time can still be seen
        picture *= 1 - depth[..., None] * (1 - np.array(_COLORS[unit]))
    figure = new_figure(5.2)
    axes = figure.add_subplot()
    extent = (0, data.makespan_ms, len(picture) - 0.5, -0.5)
    axes.imshow(picture, aspect="auto", extent=extent, interpolation="nearest")
    for time_ms in data.ms_since_begin(done):
        axes.axvline(time_ms, color="0.2", linewidth=0.6, linestyle=":")
    axes.set_xlabel("emulated time (ms); dotted: an image is finished")
    caption(figure, conclusions.on_timeline(data))
    _label_layers(axes, data.trace)
    both = tuple(ima * cores for ima, cores in zip(_COLORS[Resource.IMA], _COLORS[Resource.CORES], strict=True))
    for color, label in (
        (_COLORS[Resource.IMA], "IMA busy"),
        (_COLORS[Resource.CORES], "cores busy"),
        (both, "both busy (depth of colour: square root of the share)"),
    ):
        axes.plot([], [], "s", color=color, label=label)
    figure.legend(loc="outside lower right", ncols=3)
    return figure


def _label_layers(axes: Axes, trace: Trace) -> None:
    """Write each layer's name beside its clusters; where names would overlap, that of the larger band stays."""
    actors, names = trace["actors"], trace["layers"]["name"]
    site, layer = actors["site"].astype(np.int64), actors["layer"].astype(np.int64)
    on_cluster = site < trace.attribute("n_clusters")
    clusters, first = np.unique(site[on_cluster], return_index=True)
    layer_of_row = layer[on_cluster][first][:: n_per_row(len(clusters))]
    bands: list[tuple[int, float, str]] = []
    spacing = max(1.0, len(layer_of_row) / 42)
    for i in dict.fromkeys(layer_of_row.tolist()):
        rows = np.flatnonzero(layer_of_row == i)
        rows = max(
            np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1), key=len
        )  # a layer may have a cluster elsewhere
        axes.axhline(rows[0] - 0.5, color="0.8", linewidth=0.4)
        bands.append((len(rows), float(rows.mean()), str(names[i])))
    chosen: dict[float, str] = {}
    for _, middle, name in sorted(bands, key=lambda band: -band[0]):
        if all(abs(middle - other) >= spacing for other in chosen):
            chosen[middle] = name
    axes.set_yticks(list(chosen), list(chosen.values()), fontsize=6, parse_math=False)
    axes.set_ylabel("clusters, by layer along the pipeline")
