"""The loss waterfall: from the peak of all crossbars to what was achieved, as factors that multiply to the whole.

With C clusters on the chip, U of them used, R x K cells per crossbar, T the time of one MVM, M multiply-accumulates per
image, n images, and w(b) the share of M that crossbar b computes per MVM (a mean over the MVMs of its layer, so cells
that hold no weight or repeat for several pixels do not count):

    peak            2 C R K / T                          every crossbar full, at every moment
    global mapping  C / U                                clusters without work
    local mapping   U R K / sum of w(b)                  clusters without a crossbar in use, cells without a weight
    imbalance       (2 sum of w(b) / T) / (2 M B)        stages that wait for the slowest: B = n / busiest unit's time
    communication   B / (images per second of the batch) all waiting of the slowest stage; split into
        stalls          B / (images per second in steady state)
        fill and drain  (images per second in steady state) / (images per second of the batch)

The paper's peak may also count the cores' SIMD units; this one counts crossbars alone.
"""

from dataclasses import dataclass

import numpy as np

from traces.analysis.chip import ChipFacts
from traces.analysis.records import Records
from traces.analysis.throughput import PS_PER_S, Throughput
from traces.analysis.utilization import unit_busy_ps
from traces.reader import Trace
from traces.schema import ActorKind

STEPS = ("global_mapping", "local_mapping", "imbalance", "communication")


@dataclass(frozen=True, slots=True)
class Waterfall:
    """Loss factors, each at least one where the model's premises hold.

    Attributes:
        peak_tops: of all crossbars of the chip.
        factors: by the names in ``STEPS``.
        stalls, fill_and_drain: the two parts of communication; None for a batch without a steady state.
    """

    peak_tops: float
    factors: dict[str, float]
    stalls: float | None
    fill_and_drain: float | None

    @property
    def total(self) -> float:
        """Peak over achieved."""
        return float(np.prod(list(self.factors.values())))

    @property
    def tops_after(self) -> tuple[float, ...]:
        """What is left after each step; the last is what was achieved."""
        return tuple(self.peak_tops / np.cumprod(list(self.factors.values())))


def measure_waterfall(trace: Trace, records: Records, throughput: Throughput, chip: ChipFacts) -> Waterfall | None:
    """Work out the loss factors; None if no crossbar did anything."""
    actors, layers = trace["actors"], trace["layers"]
    n_clusters, n_images = int(trace.attribute("n_clusters")), int(trace.attribute("n_images"))
    site, layer = actors["site"].astype(np.int64), actors["layer"].astype(np.int64)
    n_used = len(np.unique(site[site < n_clusters]))
    is_mvm = actors["kind"] == ActorKind.MVM
    cells = (actors["n_rows"].astype(np.int64) * actors["n_columns"])[is_mvm]
    cell_uses = np.zeros(len(layers))
    np.add.at(cell_uses, layer[is_mvm], cells * actors["n_jobs"][is_mvm].astype(float))
    macs_per_mvm = float((cells * layers["macs"][layer[is_mvm]] / np.maximum(cell_uses[layer[is_mvm]], 1)).sum())
    busiest_ps = max(unit_busy_ps(trace, records).values(), default=0)
    macs = int(layers["macs"].sum())
    if not macs_per_mvm or not busiest_ps or not macs:
        return None
    bound = n_images * PS_PER_S / busiest_ps
    balanced = macs_per_mvm / chip.mvm_ps * PS_PER_S / macs
    steady = throughput.images_per_second_steady
    return Waterfall(
        peak_tops=n_clusters * chip.peak_ops_per_second / 1e12,
        factors={
            "global_mapping": n_clusters / n_used,
            "local_mapping": n_used * chip.cluster.ima.rows * chip.cluster.ima.columns / macs_per_mvm,
            "imbalance": balanced / bound,
            "communication": bound / throughput.images_per_second,
        },
        stalls=bound / steady if steady else None,
        fill_and_drain=steady / throughput.images_per_second if steady else None,
    )
