"""The numbers that an actor holds: crossbar weights, or bias and scale of a requantisation."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emulator.mapping.mapping import Mapping
from emulator.network.epilogue import conv_epilogue
from emulator.network.geometry import Span
from emulator.program.dataflow import Actor, Program
from traces.schema import ActorKind


@dataclass(frozen=True, slots=True, eq=False)
class ActorWeights:
    """What an actor holds, cut to its rows and columns; unused arrays are empty.

    Attributes:
        crossbar: int8, (rows, columns), for an MVM.
        offset: int32, (columns,), bias and zero-point correction, for the root of a reduction.
        multiplier: float32, (columns,), accumulator to output scale, for the root of a reduction.
    """

    crossbar: NDArray[np.int8]
    offset: NDArray[np.int32]
    multiplier: NDArray[np.float32]


def cut_weights(mapping: Mapping, program: Program, sites: Span) -> dict[int, ActorWeights]:
    """Cut out what the actors on ``sites`` hold, by actor id."""
    epilogues = {
        i: conv_epilogue(m.layer, mapping.network) for i, m in enumerate(mapping.layers) if m.layer.weights is not None
    }
    held: dict[int, ActorWeights] = {}
    for actor in program.actors:
        if actor.layer_id not in epilogues or not sites.start <= actor.site < sites.end:
            continue
        columns = slice(actor.columns.start, actor.columns.end)
        if actor.kind is ActorKind.MVM:
            held[actor.actor_id] = ActorWeights(_block(mapping, actor), *_NO_EPILOGUE)
        elif actor.is_root:
            offset, multiplier = epilogues[actor.layer_id]
            held[actor.actor_id] = ActorWeights(_NO_CROSSBAR, offset[columns].copy(), multiplier[columns].copy())
    return held


_NO_CROSSBAR = np.empty((0, 0), np.int8)
_NO_EPILOGUE = (np.empty(0, np.int32), np.empty(0, np.float32))


def _block(mapping: Mapping, actor: Actor) -> NDArray[np.int8]:
    weights = mapping.layers[actor.layer_id].layer.weights
    assert weights is not None
    matrix = weights.values.reshape(len(weights.values), -1)  # (c_out, rows)
    rows, columns = slice(actor.rows.start, actor.rows.end), slice(actor.columns.start, actor.columns.end)
    return np.ascontiguousarray(matrix[columns, rows].T)
