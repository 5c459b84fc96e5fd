"""How much host work each cluster's actors cost in the value plane, to balance the ranks."""

import numpy as np
from numpy.typing import NDArray

from emulator.network.geometry import kernel_runs, unrolled
from emulator.program.dataflow import Actor, Program
from traces.schema import ActorKind

# Picoseconds of one core of a current server processor, fitted to a profile of ResNet-18 by layer; only their ratios
# matter. A multiply-accumulate at 50 GMAC/s; a weight read from memory; a run of inputs copied and each input in it; a
# partial sum added; a tap of a pool; an element added.
_PS_PER_MAC = 20
_PS_PER_CELL = 760
_PS_PER_RUN = 28_000
_PS_PER_GATHERED_INPUT = 100
_PS_PER_PARTIAL_SUM = 300
_PS_PER_TAP = 250
_PS_PER_ELEMENT = 2_000


def estimate_work(program: Program) -> NDArray[np.int64]:
    """Estimate the host time per image of each cluster, in picoseconds, shape (n_clusters,)."""
    work = np.zeros(program.n_clusters, np.int64)
    fan_in = [len(channels) for channels in program.channels_into()]
    for actor in program.actors:
        if actor.site != program.hbm_site:
            work[actor.site] += _actor_work(program, actor, fan_in[actor.actor_id])
    return work


def _actor_work(program: Program, actor: Actor, n_operands: int) -> int:
    layer = program.layers[actor.layer_id]
    n_pixels = layer.output.height * sum(actor.tiling.widths(actor.share))
    n_columns = len(actor.columns)
    if actor.kind is ActorKind.STORE:
        return 0
    if actor.kind is ActorKind.MVM:
        assert layer.window is not None
        n_rows = len(actor.rows)
        window = unrolled(layer.window, layer.pixels_per_mvm)
        n_runs = sum(1 for _ in kernel_runs(actor.rows, window, layer.inputs[0].channels))
        gathering = n_runs * _PS_PER_RUN + n_rows * _PS_PER_GATHERED_INPUT
        computing = n_rows * n_columns * _PS_PER_MAC + n_columns * _PS_PER_PARTIAL_SUM
        return actor.n_jobs * (gathering + computing) + n_rows * n_columns * _PS_PER_CELL
    if actor.kind is ActorKind.REDUCE:
        return n_pixels * n_columns * (n_operands + 2 * actor.is_root) * _PS_PER_PARTIAL_SUM
    if layer.window is None:
        return n_pixels * n_columns * _PS_PER_ELEMENT
    return n_pixels * n_columns * layer.window.kernel_h * layer.window.kernel_w * _PS_PER_TAP
