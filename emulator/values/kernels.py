"""What one actor computes for one image: operands in, its piece of a feature map (or a partial sum) out.

Ideal crossbars are exact: products of 8-bit integers are summed in float32 as long as no sum can reach 2**24, where
float32 stops counting, and in float64 beyond; either way the GEMM's result is an integer, whatever its blocking.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from emulator.digital import ops
from emulator.network.geometry import input_channels, kernel_runs
from emulator.network.graph import Op
from emulator.program.dataflow import Actor, ProgramLayer
from emulator.values.weights import ActorWeights
from traces.schema import ActorKind

Array = NDArray[Any]
Kernel = Callable[[Sequence[Array]], Array]

#: Sums of integers are exact in float32 up to here.
FLOAT32_EXACT = 2**24
#: The largest magnitude of an 8-bit activation times that of an 8-bit weight.
LARGEST_PRODUCT = 255 * 128


def make_kernel(actor: Actor, layers: Sequence[ProgramLayer], held: ActorWeights | None) -> Kernel:
    """Return the function that computes ``actor``'s output for one image from its operands, in operand order."""
    layer = layers[actor.layer_id]
    quantizations = [feature_map.quantization for feature_map in layer.inputs]
    output = layer.output.quantization
    if actor.kind is ActorKind.MVM:
        assert held is not None
        return _mvm_kernel(actor, layer, held)
    if actor.kind is ActorKind.REDUCE:
        return _reduce_kernel(actor, layer, held)
    window = layer.window
    if layer.op is Op.MAX_POOL and window is not None:
        return lambda operands: ops.max_pool(operands[0], window)
    if layer.op is Op.AVG_POOL and window is not None:
        return lambda operands: ops.avg_pool(operands[0], window, quantizations[0], output)
    if layer.op is Op.ADD:
        return lambda operands: ops.add(operands[0], operands[1], quantizations[0], quantizations[1], output)
    assert layer.op is Op.RELU, layer.op
    return lambda operands: ops.relu(operands[0], quantizations[0], output)


def _mvm_kernel(actor: Actor, layer: ProgramLayer, held: ActorWeights) -> Kernel:
    n_rows = len(actor.rows)
    real = np.float32 if n_rows * LARGEST_PRODUCT < FLOAT32_EXACT else np.float64
    weights = held.crossbar.astype(real)

    def mvm(operands: Sequence[Array]) -> Array:
        inputs = np.empty((layer.output.height, layer.output.width, n_rows), real)
        gather_rows(operands[0], actor, layer, inputs)
        sums: NDArray[np.int32] = (inputs.reshape(-1, n_rows) @ weights).astype(np.int32)
        return sums

    return mvm


def gather_rows(ifm: Array, actor: Actor, layer: ProgramLayer, rows: Array) -> None:
    """Copy what each MVM of a block reads from the input feature map into ``rows``, (height, width, block rows).

    Every kernel row is one contiguous run of memory per output pixel in HWC layout, so this takes one strided copy per
    kernel row that the block touches. ``ifm`` holds only the channels that the block needs.
    """
    window, source = layer.window, layer.inputs[0]
    assert window is not None
    top, left = window.pad_top, window.pad_left
    padding = ((top, window.pad_bottom), (left, window.pad_right), (0, 0))
    if any(map(any, padding)):
        ifm = np.pad(ifm, padding, constant_values=source.quantization.zero_point)
    ifm = np.ascontiguousarray(ifm)
    height, width = layer.output.height, layer.output.width
    by_row, by_column, by_channel = ifm.strides
    channels = input_channels(actor.rows, source.channels)
    filled = 0
    for kernel_row, run in kernel_runs(actor.rows, window, source.channels):
        kernel_column, channel = divmod(run.start, source.channels)
        start = ifm[kernel_row, kernel_column, channel - channels.start :]
        view = as_strided(
            start,
            (height, width, len(run)),
            (by_row * window.stride_h, by_column * window.stride_w, by_channel),
            writeable=False,
        )
        rows[:, :, filled : filled + len(run)] = view
        filled += len(run)


def _reduce_kernel(actor: Actor, layer: ProgramLayer, held: ActorWeights | None) -> Kernel:
    shape = (layer.output.height, layer.output.width, len(actor.columns))

    def add_up(operands: Sequence[Array]) -> Array:
        total: NDArray[np.int32] = operands[0].astype(np.int32)
        for operand in operands[1:]:
            total += operand
        if held is None:
            return total
        total += held.offset
        return ops.requantize(total, held.multiplier, layer.output.quantization).reshape(shape)

    return add_up
