"""How much host work each cluster's actors cost in the value plane, to balance the ranks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emulator.network.geometry import kernel_runs, unrolled
from emulator.program.dataflow import Actor, Program, ProgramLayer
from emulator.values.gemm import GemmKind, integers_are_exact
from emulator.values.summation import PIECE_BYTES
from traces.schema import ActorKind


@dataclass(frozen=True, slots=True)
class HostCosts:
    """Picoseconds of host time that things take; only their ratios matter.

    Fitted to the layers of ResNet-18 on a current server processor (AVX-512, AMX) whose cores were all busy.

    Attributes:
        mac: a multiply-accumulate.
        partial_sum: a crossbar's sum added, converters included.
        run: a run of inputs gathered.
        gathered_input: each input in it.
        product: one product, whatever its size.
        output: an element requantised.
        cell: a weight brought from memory, once an image. A rank that holds many finds few of them in its caches.
    """

    mac: float
    partial_sum: float
    run: float
    gathered_input: float
    product: float
    output: float
    cell: float


INTEGER_COSTS = HostCosts(1.05, 20, 750, 27, 9_200_000, 520, 45)
FLOAT_COSTS = HostCosts(9.1, 20, 400, 115, 24_000_000, 380, 50)
NOISY_INTEGER_COSTS = HostCosts(2.7, 850, 500, 235, 18_000_000, 1_100, 180)
NOISY_FLOAT_COSTS = HostCosts(22.4, 850, 2_400, 130, 58_000_000, 500, 0)

# The same for what the cores do, however products are computed: an element of a finished feature map checked and handed
# on, a tap of a pool, an element added. Sums of other crossbars are added where they are made.
_PS_PER_PUBLISHED = 45
_PS_PER_TAP = 105
_PS_PER_ELEMENT = 670


def host_costs(*, is_noisy: bool = False, gemm: GemmKind = "auto") -> HostCosts:
    """Return the costs on this host, for ideal crossbars or for noisy ones behind converters."""
    is_integer = gemm == "integer" or (gemm == "auto" and integers_are_exact())
    if is_noisy:
        return NOISY_INTEGER_COSTS if is_integer else NOISY_FLOAT_COSTS
    return INTEGER_COSTS if is_integer else FLOAT_COSTS


def estimate_work(program: Program, costs: HostCosts = INTEGER_COSTS) -> NDArray[np.int64]:
    """Estimate the host time per image of each cluster, in picoseconds, shape (n_clusters,)."""
    work = np.zeros(program.n_clusters, np.int64)
    for actor in program.actors:
        if actor.site != program.hbm_site:
            work[actor.site] += round(_actor_work(program, actor, costs))
    return work


def _actor_work(program: Program, actor: Actor, costs: HostCosts) -> float:
    layer = program.layers[actor.layer_id]
    n_elements = layer.output.height * sum(actor.tiling.widths(actor.share)) * len(actor.columns)
    if actor.kind is ActorKind.STORE:
        return 0
    if actor.kind is ActorKind.MVM:
        return _crossbar_work(actor, layer, costs)
    if actor.kind is ActorKind.REDUCE:
        return n_elements * (costs.output + _PS_PER_PUBLISHED) if actor.is_root else 0
    if layer.window is None:
        return n_elements * (_PS_PER_ELEMENT + _PS_PER_PUBLISHED)
    return n_elements * (layer.window.kernel_h * layer.window.kernel_w * _PS_PER_TAP + _PS_PER_PUBLISHED)


def _crossbar_work(actor: Actor, layer: ProgramLayer, costs: HostCosts) -> float:
    assert layer.window is not None
    n_rows, n_columns = len(actor.rows), len(actor.columns)
    window = unrolled(layer.window, layer.pixels_per_mvm)
    n_runs = sum(1 for _ in kernel_runs(actor.rows, window, layer.inputs[0].channels))
    gathering = n_runs * costs.run + n_rows * costs.gathered_input
    computing = n_rows * n_columns * costs.mac + n_columns * costs.partial_sum
    n_products = -(-actor.n_jobs * max(n_rows, 8 * n_columns) // PIECE_BYTES)
    return actor.n_jobs * (gathering + computing) + n_products * costs.product + n_rows * n_columns * costs.cell
