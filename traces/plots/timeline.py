"""One picture of a run: clusters from top to bottom along the pipeline, emulated time from left to right."""

from pathlib import Path
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from traces.analysis.bottleneck import slowest_stages
from traces.analysis.records import order_records
from traces.analysis.throughput import Throughput, completions_ps, measure_throughput
from traces.errors import TraceError
from traces.reader import Trace
from traces.schema import Resource

N_BINS = 500
#: Okabe and Ito's colours for analog and digital work: told apart by colour-blind readers, too.
_COLORS = {Resource.IMA: (0.0, 0.447, 0.698), Resource.CORES: (0.902, 0.624, 0.0)}


def busy_shares(trace: Trace, resource: Resource, begin_ps: int, end_ps: int, n_bins: int) -> NDArray[np.float64]:
    """Return the share of each time bin in which a unit of each used cluster is busy, (clusters, bins)."""
    actors = trace["actors"]
    site = actors["site"].astype(np.int64)
    clusters = np.unique(site[site < trace.attribute("n_clusters")])
    row_of_actor = np.searchsorted(clusters, site)
    uses = actors["resource"] == resource
    scale = n_bins / (end_ps - begin_ps)
    # Integrate: a firing adds one to the slope where it starts and takes it away where it ends.
    steps = np.zeros((len(clusters), n_bins + 2))
    for actor, start_ps, stop_ps in trace["firings"].chunks("actor", "start_ps", "end_ps"):
        chosen = uses[actor]
        rows = row_of_actor[actor[chosen]]
        for times, sign in ((start_ps, 1.0), (stop_ps, -1.0)):
            position = (times[chosen] - begin_ps) * scale
            bins = np.minimum(position.astype(np.int64), n_bins)
            into = position - bins
            np.add.at(steps, (rows, bins), sign * (1 - into))
            np.add.at(steps, (rows, bins + 1), sign * into)
    return np.clip(np.cumsum(steps, axis=1)[:, :n_bins], 0, 1)


def draw_timeline(trace: Trace, path: Path) -> None:
    """Draw when every used cluster's IMA and cores were busy, and write it to ``path`` as PNG.

    Raises:
        TraceError: the timing plane did not run, or the picture cannot be written.
    """
    throughput = measure_throughput(trace)
    begun, done = completions_ps(trace)
    begin_ps, end_ps = int(begun.min()), int(done.max())
    ima = busy_shares(trace, Resource.IMA, begin_ps, end_ps, N_BINS)
    cores = busy_shares(trace, Resource.CORES, begin_ps, end_ps, N_BINS)
    picture = np.ones((*ima.shape, 3))
    for share, unit in ((ima, Resource.IMA), (cores, Resource.CORES)):
        depth = np.sqrt(share)  # so that a cluster which is busy for a hundredth of the time can still be seen
        picture *= 1 - depth[..., None] * (1 - np.array(_COLORS[unit]))
    figure = Figure(figsize=(11, 7.5), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    extent = (0, (end_ps - begin_ps) / 1e9, len(picture) - 0.5, -0.5)
    axes.imshow(picture, aspect="auto", extent=extent, interpolation="nearest")
    for time in done:
        axes.axvline((int(time) - begin_ps) / 1e9, color="0.2", linewidth=0.7, linestyle=":")
    axes.set_xlabel("emulated time (ms); dotted: an image is finished")
    axes.set_title(_conclusion(trace, throughput), loc="left", fontsize=11, parse_math=False)
    _label_layers(axes, trace)
    for unit, label in (
        (Resource.IMA, "IMA busy"),
        (Resource.CORES, "cores busy (depth of colour: square root of the share)"),
    ):
        axes.plot([], [], "s", color=_COLORS[unit], label=label, markersize=9)
    figure.legend(loc="outside lower right", ncols=2, frameon=False)
    try:
        figure.savefig(path)
    except OSError as error:
        raise TraceError(f"{path}: the picture cannot be written: {error.strerror}; choose another place") from None


def _conclusion(trace: Trace, throughput: Throughput) -> str:
    """Say in two lines what to see in the picture."""
    text = f"{trace.attribute('name')}: {throughput.images_per_second:,.0f} images/s. "
    for stage in slowest_stages(trace, order_records(trace), throughput, 1):
        text += (
            f"{' and '.join(stage.layers)} sets the pace: the {stage.unit} of cluster {stage.cluster} is busy for "
            f"{stage.busy_share:.0%} of the time; "
        )
    return fill(text + "white is a cluster that waits or sleeps.", width=110)


def _label_layers(axes: Axes, trace: Trace) -> None:
    """Write each layer's name beside its clusters, leaving out names that would overlap."""
    actors, names = trace["actors"], trace["layers"]["name"]
    site, layer = actors["site"].astype(np.int64), actors["layer"].astype(np.int64)
    on_cluster = site < trace.attribute("n_clusters")
    clusters, first = np.unique(site[on_cluster], return_index=True)
    layer_of_row = layer[on_cluster][first]
    ticks, labels, last = [], [], -np.inf
    spacing = max(1.0, len(clusters) / 42)
    for i in dict.fromkeys(layer_of_row.tolist()):
        rows = np.flatnonzero(layer_of_row == i)
        axes.axhline(rows[0] - 0.5, color="0.8", linewidth=0.4)
        if rows.mean() - last >= spacing:
            last = rows.mean()
            ticks.append(last)
            labels.append(str(names[i]))
    axes.set_yticks(ticks, labels, fontsize=7, parse_math=False)
    axes.set_ylabel("clusters, by layer along the pipeline")
