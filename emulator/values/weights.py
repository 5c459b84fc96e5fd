"""The numbers that an actor holds: crossbar weights, or bias and scale of a requantisation."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emulator.mapping.mapping import LayerMapping, Mapping
from emulator.network.epilogue import conv_epilogue
from emulator.network.geometry import Span, unrolled
from emulator.program.dataflow import Program
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
    crossbars: dict[tuple[int, Span, Span], NDArray[np.int8]] = {}  # copies share one array
    matrices: dict[int, NDArray[np.int8]] = {}
    for actor in program.actors:
        if actor.layer_id not in epilogues or not sites.start <= actor.site < sites.end:
            continue
        columns = slice(actor.columns.start, actor.columns.end)
        if actor.kind is ActorKind.MVM:
            i, key = actor.layer_id, (actor.layer_id, actor.rows, actor.columns)
            if key not in crossbars:
                if i not in matrices:
                    matrices[i] = weight_matrix(mapping.layers[i])
                rows = slice(actor.rows.start, actor.rows.end)
                crossbars[key] = np.ascontiguousarray(matrices[i][columns, rows].T)
            held[actor.actor_id] = ActorWeights(crossbars[key], *_NO_EPILOGUE)
        elif actor.is_root:
            offset, multiplier = epilogues[actor.layer_id]
            held[actor.actor_id] = ActorWeights(_NO_CROSSBAR, offset[columns].copy(), multiplier[columns].copy())
    return held


_NO_CROSSBAR = np.empty((0, 0), np.int8)
_NO_EPILOGUE = (np.empty(0, np.int32), np.empty(0, np.float32))


def weight_matrix(mapped: LayerMapping) -> NDArray[np.int8]:
    """Return a layer's weight matrix transposed, (columns, rows), with one shifted kernel per pixel of an MVM.

    Rows run in the order (kernel_h, unrolled kernel_w, c_in), columns in the order (pixel, c_out).
    """
    weights, window, n_pixels = mapped.layer.weights, mapped.layer.window, mapped.pixels_per_mvm
    assert weights is not None
    assert window is not None
    c_out, kernel_h, kernel_w, c_in = weights.values.shape
    matrix = np.zeros((n_pixels, c_out, kernel_h, unrolled(window, n_pixels).kernel_w, c_in), np.int8)
    for pixel in range(n_pixels):
        shift = pixel * window.stride_w
        matrix[pixel, :, :, shift : shift + kernel_w] = weights.values
    return matrix.reshape(n_pixels * c_out, -1)
