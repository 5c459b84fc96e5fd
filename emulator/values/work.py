"""How much host work each cluster's actors cost in the value plane, to balance the ranks."""

import numpy as np
from numpy.typing import NDArray

from emulator.program.dataflow import Actor, Program
from traces.schema import ActorKind

# Picoseconds of one core of a current server processor per unit of work; only their ratios matter. A multiply-
# accumulate at 50 GMAC/s; gathering one crossbar input, adding one partial sum, one tap of a pool or addition.
_PS_PER_MAC = 20
_PS_PER_GATHERED_INPUT = 500
_PS_PER_PARTIAL_SUM = 1_000
_PS_PER_TAP = 2_000


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
    n_pixels = layer.output.height * layer.output.width
    n_columns = len(actor.columns)
    if actor.kind is ActorKind.MVM:
        n_rows = len(actor.rows)
        per_pixel = n_rows * n_columns * _PS_PER_MAC + n_rows * _PS_PER_GATHERED_INPUT
        return n_pixels * (per_pixel + n_columns * _PS_PER_PARTIAL_SUM)
    if actor.kind is ActorKind.REDUCE:
        return n_pixels * n_columns * (n_operands + 2 * actor.is_root) * _PS_PER_PARTIAL_SUM
    n_taps = layer.window.kernel_h * layer.window.kernel_w if layer.window else len(layer.inputs)
    return n_pixels * n_columns * n_taps * _PS_PER_TAP
