"""The relaxed problem: what no mapping of a network on so many clusters can beat.

Relaxed is everything that makes a mapping hard: the cores, the network on chip, buffers, synchronisation and the
filling and draining of the pipeline cost nothing. What remains: every weight sits on at least one crossbar, a layer has
a whole number of copies, and a crossbar makes at most one MVM per job interval. A layer cut into B blocks, with H rows
of output pixels, G groups of pixels per row that are made at once and a job interval t, then needs, to take at most T
per image,

    B * ceil(G / floor(T / (H * t)))    crossbars,

with the number of pixels per MVM that needs fewest. The least T whose sum fits the clusters is one of the times that a
layer can take, and found by bisection over them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from emulator.chip.spec import Chip
from emulator.network.graph import Network
from emulator.optimize.options import LayerModel

PS_PER_S = 10**12


@dataclass(frozen=True, slots=True)
class Bound:
    """The least time per image of any mapping, and what sets it.

    Attributes:
        time_ps: least time per image in steady state.
        least_clusters: crossbars of one copy of every layer.
    """

    time_ps: int
    least_clusters: int

    @property
    def images_per_second(self) -> float:
        """Steady throughput that no mapping exceeds."""
        return PS_PER_S / self.time_ps


@dataclass(frozen=True, slots=True)
class _Demand:
    """A layer at one number of pixels per MVM: blocks per copy, groups of pixels per row, and the time of one group."""

    n_blocks: int
    n_groups: int
    group_ps: int

    def n_crossbars(self, time_ps: int) -> int | None:
        """Crossbars needed for ``time_ps`` per image, None if no number of copies is fast enough."""
        groups_each = time_ps // self.group_ps
        return self.n_blocks * -(-self.n_groups // groups_each) if groups_each else None


def relaxed_bound(network: Network, chip: Chip, n_clusters: int, max_pixels: int) -> Bound | None:
    """Return the relaxed bound, None if not even one copy of every layer fits.

    Args:
        network: the network.
        chip: the chip; its own number of clusters does not count here.
        n_clusters: clusters to use at most.
        max_pixels: most pixels that a crossbar may make at once.
    """
    layers = [_demands(LayerModel(layer, network, chip), max_pixels) for layer in network.layers if layer.weights]
    least = sum(min(demand.n_blocks for demand in demands) for demands in layers)
    if least > n_clusters:
        return None
    times = sorted({each.group_ps * n for demands in layers for each in demands for n in range(1, each.n_groups + 1)})
    low, high = 0, len(times) - 1  # one copy of every layer takes at most the longest of the times
    while low < high:
        middle = (low + high) // 2
        needed = _n_crossbars(layers, times[middle])
        low, high = (low, middle) if needed is not None and needed <= n_clusters else (middle + 1, high)
    return Bound(times[low], least)


def _demands(model: LayerModel, max_pixels: int) -> list[_Demand]:
    demands = []
    for n_pixels in range(1, model.most_pixels(max_pixels) + 1):
        n_rows, n_columns = model.blocks(n_pixels)
        n_groups = -(-model.output.width // n_pixels)
        demands.append(_Demand(n_rows * n_columns, n_groups, model.output.height * model.job_ps(n_pixels)))
    return demands


def _n_crossbars(layers: Sequence[Sequence[_Demand]], time_ps: int) -> int | None:
    """Crossbars that all layers need for ``time_ps`` per image, None if one of them cannot be that fast."""
    total = 0
    for demands in layers:
        needed = [n for demand in demands if (n := demand.n_crossbars(time_ps)) is not None]
        if not needed:
            return None
        total += min(needed)
    return total
