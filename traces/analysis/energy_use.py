"""Energy of a run: counts from its trace, by layer, times the coefficients of a chip file."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traces.analysis.accounting import ANALOG, DIGITAL, SYNCHRONIZATION, TimeAccount
from traces.analysis.chip import ChipFacts
from traces.energy import ActorWork, EnergyCosts, EnergyCounts, count_actors, count_transport, energy_pj
from traces.reader import Trace

#: The row of what belongs to no layer: leakage, idle clusters, and bringing images in and results out.
REST = "chip"


@dataclass(frozen=True, slots=True)
class EnergyUse:
    """Energy of a whole batch.

    Attributes:
        counts: by layer name, and under ``REST``.
        energy_pj: by the same names and by component.
    """

    counts: dict[str, EnergyCounts]
    energy_pj: dict[str, dict[str, float]]

    @property
    def by_component_pj(self) -> dict[str, float]:
        """Energy summed over layers."""
        parts = list(self.energy_pj.values())
        return {name: sum(part[name] for part in parts) for name in parts[0]}

    @property
    def total_pj(self) -> float:
        """Energy of the batch."""
        return sum(self.by_component_pj.values())


def count_energy(trace: Trace, account: TimeAccount, chip: ChipFacts) -> dict[str, EnergyCounts] | None:
    """Count the work of a batch by layer; None for traces too old to hold routes.

    What moves a token counts for the layer that takes it.
    """
    if "routes" not in trace:
        return None
    names, layer = trace["layers"]["name"], trace["actors"]["layer"].astype(np.int64)
    n_images, n_clusters = int(trace.attribute("n_images")), int(trace.attribute("n_clusters"))
    actors = trace["actors"]
    columns = {name: actors[name] for name in ActorWork.__dataclass_fields__}
    transport = _count_channels(trace, layer)
    counts = {}
    for i in range(-1, len(names)):
        work = ActorWork(**{name: values[layer == i] for name, values in columns.items()})
        per_image = count_actors(work, chip.costing) + transport.get(i, EnergyCounts())
        counts[str(names[i]) if i >= 0 else REST] = per_image.times(n_images)
    busy_ps = int(account.time_ps[:, [ANALOG, DIGITAL, SYNCHRONIZATION]].sum())
    counts[REST] += EnergyCounts(
        cluster_ps=n_clusters * account.makespan_ps, idle_ps=len(account.cluster) * account.makespan_ps - busy_ps
    )
    return counts


def cost_energy(counts: dict[str, EnergyCounts], costs: EnergyCosts) -> EnergyUse:
    """Multiply counts with coefficients."""
    return EnergyUse(counts, {name: energy_pj(each, costs) for name, each in counts.items()})


def _count_channels(trace: Trace, layer: NDArray[np.int64]) -> dict[int, EnergyCounts]:
    """Count what moving tokens between sites takes per image, by the layer that takes them."""
    channels, hbm_site = trace["channels"], int(trace.attribute("n_clusters"))
    producer, consumer, n_bytes = (channels[name].astype(np.int64) for name in ("producer", "consumer", "n_bytes"))
    site = trace["actors"]["site"].astype(np.int64)
    n_ports = np.bincount(trace["routes"]["channel"], minlength=len(channels))
    n_hbm_ends = (site[producer] == hbm_site).astype(np.int64) + (site[consumer] == hbm_site)
    counts: dict[int, EnergyCounts] = {}
    for channel in np.flatnonzero(n_ports).tolist():
        n_hbm = int(n_hbm_ends[channel])
        moved = count_transport(
            int(n_bytes[channel]), n_ports=int(n_ports[channel]), n_l1_ends=2 - n_hbm, n_hbm_ends=n_hbm
        )
        owner = int(layer[consumer[channel]])
        counts[owner] = counts.get(owner, EnergyCounts()) + moved
    return counts
