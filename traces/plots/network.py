"""The network in pictures: hot ports, latencies, bandwidth of the HBM; and tokens that wait to be sent."""

import numpy as np
from matplotlib.figure import Figure

from traces.analysis.network import N_TIME_BINS
from traces.analysis.queues import tokens_waiting
from traces.plots import conclusions
from traces.plots.data import FigureData
from traces.plots.style import SERIES_COLORS, caption, new_figure

_BLUE, _ORANGE, _GREEN = SERIES_COLORS[:3]
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
    for share, style in ((0.5, "--"), (0.99, ":")):
        quantile_ns = latencies.quantile_ps(share) / 1e3
        times.axvline(quantile_ns, color=_ORANGE, linestyle=style, label=f"{share:.0%} within {quantile_ns:,.0f} ns")
    times.set_xlabel("travel time of a transfer (ns)")
    times.set_ylabel("transfers (%)")
    times.legend(loc="upper right", frameon=True, framealpha=1.0, edgecolor="none")  # over the lines that it names
    edges_ms = np.linspace(0, data.makespan_ms, N_TIME_BINS + 1)
    for rate, label, color in zip(network.hbm_bytes_per_second, ("read", "written"), (_BLUE, _ORANGE), strict=True):
        memory.stairs(rate / 1e9, edges_ms, label=label, color=color, linewidth=0.8)
    memory.set(xlabel="emulated time (ms)", ylabel="HBM (GB/s)", xlim=(0, data.makespan_ms))
    memory.legend(loc="upper right", ncols=2)
    caption(figure, conclusions.on_network(data))
    return figure


def draw_queues(data: FigureData) -> Figure | None:
    """Draw how many finished tokens wait to be sent or are on their way, over time, by the layer that takes them."""
    waiting = tokens_waiting(data.trace, data.records, data.timing.throughput, N_QUEUES)
    if not waiting:
        return None
    figure = new_figure(3.0)
    axes = figure.add_subplot()
    edges_ms = np.linspace(0, data.makespan_ms, N_TIME_BINS + 1)
    for i, name in enumerate(waiting):
        axes.stairs(waiting[name], edges_ms, label=name, color=SERIES_COLORS[i], linewidth=0.9)
    axes.set(xlabel="emulated time (ms)", ylabel="tokens waiting or on their way", xlim=(0, data.makespan_ms))
    axes.set_ylim(bottom=0)
    legend = figure.legend(loc="outside right center", title="on their way to")
    for text in legend.get_texts():
        text.set_parse_math(False)
    caption(figure, conclusions.on_queues(waiting))
    return figure
