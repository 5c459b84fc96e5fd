"""What one actor computes for one image: operands in, its share of a feature map (or of a partial sum) out.

Ideal crossbars are exact: products of 8-bit integers are summed in float32 as long as no sum can reach 2**24, where
float32 stops counting, and in float64 beyond; either way the GEMM's result is an integer, whatever its blocking.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from emulator.digital import ops
from emulator.network.geometry import input_channels, kernel_runs, unrolled
from emulator.network.graph import Op
from emulator.program.dataflow import Actor, ProgramLayer
from emulator.values.operands import Columns, as_slice, made_columns
from emulator.values.weights import ActorWeights
from traces.schema import ActorKind

Array = NDArray[Any]
Kernel = Callable[[Sequence[Array]], Array]

#: Sums of integers are exact in float32 up to here.
FLOAT32_EXACT = 2**24
#: The largest magnitude of an 8-bit activation times that of an 8-bit weight.
LARGEST_PRODUCT = 255 * 128


def make_kernel(actor: Actor, layers: Sequence[ProgramLayer], held: ActorWeights | None) -> Kernel:
    """Return the function that computes ``actor``'s share of an image from its operands, in operand order.

    A convolution's operand comes with the padding of ``convolution_padding``; element-wise layers get and make only the
    columns of their share, side by side.
    """
    layer = layers[actor.layer_id]
    if actor.kind is ActorKind.MVM:
        assert held is not None
        return _mvm_kernel(actor, layer, held)
    if actor.kind is ActorKind.REDUCE:
        return _reduce_kernel(actor, layer, held)
    if actor.kind is ActorKind.STORE:
        return lambda operands: operands[0].copy()  # the operand may be a buffer that soon receives again
    return _digital_kernel(actor, layer)


def _digital_kernel(actor: Actor, layer: ProgramLayer) -> Kernel:
    quantizations, output = [source.quantization for source in layer.inputs], layer.output.quantization
    window, columns = layer.window, as_slice(made_columns(actor))
    if layer.op is Op.MAX_POOL and window is not None:
        return lambda operands: ops.max_pool(operands[0], window, columns)
    if layer.op is Op.AVG_POOL and window is not None:
        return lambda operands: ops.avg_pool(operands[0], window, quantizations[0], output, columns)
    if layer.op is Op.ADD:
        return lambda operands: ops.add(operands[0], operands[1], quantizations[0], quantizations[1], output)
    assert layer.op is Op.RELU, layer.op
    return lambda operands: ops.relu(operands[0], quantizations[0], output)


def convolution_padding(layer: ProgramLayer) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the padding around a convolution's input, ((top, bottom), (left, right)).

    Where several pixels are made at once and their number does not divide the width, the last ones need more of it.
    """
    window = layer.window
    assert window is not None
    wide = unrolled(window, layer.pixels_per_mvm)
    n_groups = -(-layer.output.width // layer.pixels_per_mvm)
    reached = (n_groups - 1) * wide.stride_w + wide.kernel_w - window.pad_left - layer.inputs[0].width
    return (window.pad_top, window.pad_bottom), (window.pad_left, max(window.pad_right, reached))


def _mvm_kernel(actor: Actor, layer: ProgramLayer, held: ActorWeights) -> Kernel:
    n_rows = len(actor.rows)
    real = np.float32 if n_rows * LARGEST_PRODUCT < FLOAT32_EXACT else np.float64
    weights = held.crossbar.astype(real)
    groups = np.unique(made_columns(actor) // layer.pixels_per_mvm)

    def mvm(operands: Sequence[Array]) -> Array:
        inputs = np.empty((layer.output.height, len(groups), n_rows), real)
        gather_rows(operands[0], actor, layer, as_slice(groups), inputs)
        sums: NDArray[np.int32] = (inputs.reshape(-1, n_rows) @ weights).astype(np.int32)
        return sums

    return mvm


def gather_rows(ifm: Array, actor: Actor, layer: ProgramLayer, groups: Columns, rows: Array) -> None:
    """Copy what each MVM of a block reads from the input feature map into ``rows``.

    Every kernel row is one contiguous run of memory per MVM in HWC layout, so this takes one strided copy per kernel
    row that the block touches.

    Args:
        ifm: the input feature map with its padding, (height, width, channels that the block needs), contiguous.
        actor: the block.
        layer: its layer.
        groups: which groups of ``pixels_per_mvm`` output columns to gather for.
        rows: where to, (output height, groups, block rows).
    """
    source = layer.inputs[0]
    assert layer.window is not None
    window = unrolled(layer.window, layer.pixels_per_mvm)
    n_groups = -(-layer.output.width // layer.pixels_per_mvm)
    by_row, by_column, by_channel = ifm.strides
    channels = input_channels(actor.rows, source.channels)
    filled = 0
    for kernel_row, run in kernel_runs(actor.rows, window, source.channels):
        kernel_column, channel = divmod(run.start, source.channels)
        start = ifm[kernel_row, kernel_column, channel - channels.start :]
        view = as_strided(
            start,
            (layer.output.height, n_groups, len(run)),
            (by_row * window.stride_h, by_column * window.stride_w, by_channel),
            writeable=False,
        )
        rows[:, :, filled : filled + len(run)] = view[:, groups]
        filled += len(run)


def _reduce_kernel(actor: Actor, layer: ProgramLayer, held: ActorWeights | None) -> Kernel:
    n_columns = len(made_columns(actor))
    shape = (layer.output.height, -1, len(actor.columns))  # groups of pixels side by side

    def add_up(operands: Sequence[Array]) -> Array:
        total: NDArray[np.int32] = operands[0].astype(np.int32)
        for operand in operands[1:]:
            total += operand
        if held is None:
            return total
        pixels = total.reshape(shape)[:, :n_columns]
        return ops.requantize(pixels + held.offset, held.multiplier, layer.output.quantization)

    return add_up
