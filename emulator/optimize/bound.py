"""The relaxed problem: what no mapping of a network on so many clusters can beat.

Relaxed is everything that makes a mapping hard. Copies may be fractional, work divides perfectly, and the cores, the
network on chip, buffers and synchronisation cost nothing. What remains: every weight sits on at least one crossbar, and
a crossbar makes at most one MVM per job interval. At a time of T per image, a layer of B blocks with J MVMs of interval
t each needs ``B * max(1, J * t / T)`` crossbars, with the number of pixels per MVM that needs fewest; the least T whose
sum fits the clusters is found by bisection.
"""

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

    time_ps: float
    least_clusters: int

    @property
    def images_per_second(self) -> float:
        """Steady throughput that no mapping exceeds."""
        return PS_PER_S / self.time_ps


def relaxed_bound(network: Network, chip: Chip, n_clusters: int, max_pixels: int) -> Bound | None:
    """Return the relaxed bound, None if not even one copy of every layer fits.

    Args:
        network: the network.
        chip: the chip; its own number of clusters does not count here.
        n_clusters: clusters to use at most.
        max_pixels: most pixels that a crossbar may make at once.
    """
    demands: list[list[tuple[int, int]]] = []  # per layer and number of pixels: (blocks, busy ps per image and block)
    for layer in network.layers:
        if layer.weights is not None:
            model = LayerModel(layer, network, chip)
            counts = range(1, model.most_pixels(max_pixels) + 1)
            demands.append([(r * c, model.n_jobs(p) * model.job_ps(p)) for p in counts for r, c in [model.blocks(p)]])
    least = sum(min(blocks for blocks, _ in choices) for choices in demands)
    if least > n_clusters:
        return None
    low, high = 0.0, float(sum(max(busy for _, busy in choices) for choices in demands) + 1)
    while high - low > 1e-6 * high:
        middle = (low + high) / 2
        needed = sum(min(blocks * max(1.0, busy / middle) for blocks, busy in choices) for choices in demands)
        low, high = (low, middle) if needed <= n_clusters else (middle, high)
    return Bound(high, least)
