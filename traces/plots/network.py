"""The network in pictures: hot ports, latencies, bandwidth of the HBM; and tokens that wait to be sent."""

import numpy as np
from matplotlib.figure import Figure

from traces.analysis.network import N_TIME_BINS
from traces.analysis.queues import tokens_waiting
from traces.plots import conclusions
from traces.plots.data import FigureData
from traces.plots.style import SERIES_COLORS, caption, label_log_x, new_figure

_BLUE, _ORANGE = SERIES_COLORS[:2]
N_QUEUES = 8
_N_PORTS = 10


def draw_network(data: FigureData) -> Figure | None:
    """Draw the busiest ports, the travel times of transfers, and the traffic of the HBM over time."""
    network = data.timing.network
    if not network.ports or not network.latencies.n_transfers:
        return None
    figure = new_figure(4.2)
    grid = figure.add_gridspec(2, 2)
    ports, times, memory = (figure.add_subplot(part) for part in (grid[0, 0], grid[0, 1], grid[1, :]))
    hottest = network.ports[:_N_PORTS]
    ports.barh(range(len(hottest)), [100 * port.busy_share for port in hottest], color=_BLUE, height=0.7)
    ports.set_yticks(range(len(hottest)), [port.name for port in hottest], fontsize=6, parse_math=False)
    ports.invert_yaxis()
    ports.set_xlabel("busiest ports: time occupied (%)")
    latencies = network.latencies
    times.stairs(100 * latencies.n_in_bin / latencies.n_transfers, latencies.edges_ps / 1e3, fill=True, color=_BLUE)
    times.set_xscale("log")
    label_log_x(times)
    times.tick_params(axis="x", labelsize=6)
    for share, style in ((0.5, "--"), (0.99, ":")):
        quantile_ns = latencies.quantile_ps(share) / 1e3
        times.axvline(quantile_ns, color=_ORANGE, linestyle=style, label=f"{share:.0%} within {quantile_ns:,.0f} ns")
    times.set_xlabel("travel time of a transfer (ns)")
    times.set_ylabel("transfers (%)")
    times.legend(loc="upper right", frameon=True, framealpha=1.0, edgecolor="none")  # over the lines that it names
    edges_ms = np.linspace(0, data.makespan_ms, N_TIME_BINS + 1)
    for rate, label, color in zip(network.hbm_bytes_per_second, ("read", "written"), (_BLUE, _ORANGE), strict=True):
        memory.stairs(rate / 1e9, edges_ms, label=label, color=color, linewidth=0.8, clip_on=False)
    memory.margins(y=0.06)  # what is never or hardly used lies above the axis, not on it
    memory.set_ylim(bottom=-0.06 * max(float(network.hbm_bytes_per_second.max()) / 1e9, 1e-9))
    memory.set(xlabel="emulated time (ms)", ylabel="HBM (GB/s)", xlim=(0, data.makespan_ms))
    memory.legend(loc="upper right", ncols=2)
    caption(figure, conclusions.on_network(data))
    return figure


def draw_queues(data: FigureData) -> Figure | None:
    """Draw how many finished tokens wait to be sent or are on their way, over time, by the layer that takes them."""
    waiting = tokens_waiting(data.trace, data.records, data.timing.throughput, N_QUEUES)
    if not waiting:
        return None
    figure = new_figure(1.1 + 0.42 * len(waiting))
    panels = figure.subplots(len(waiting), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    edges_ms = np.linspace(0, data.makespan_ms, N_TIME_BINS + 1)
    for axes, (name, n_tokens) in zip(panels, waiting.items(), strict=True):
        axes.stairs(n_tokens, edges_ms, fill=True, color=_BLUE)
        axes.tick_params(axis="x", length=2 if axes is panels[-1] else 0)
        axes.text(1.01, 0.5, f"to {name}", transform=axes.transAxes, va="center", fontsize=7, parse_math=False)
    panels[-1].set(xlabel="emulated time (ms)", xlim=(0, data.makespan_ms))
    panels[-1].set_ylim(bottom=0)
    figure.supylabel("tokens waiting or on their way", fontsize=8)
    caption(figure, conclusions.on_queues(waiting))
    return figure
