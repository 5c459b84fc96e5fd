"""What the cores do besides adding partial sums: pools, residual additions, ReLUs, from buffer to buffer."""

from collections.abc import Callable

import numpy as np

from emulator.digital import ops
from emulator.digital.compiled import add_columns, max_pool_columns
from emulator.digital.elementwise import add_ratios
from emulator.network.graph import Op
from emulator.program.dataflow import Actor, ProgramLayer
from emulator.values.maps import MapBuffer, Maps
from emulator.values.operands import as_slice, made_columns


def core_kernel(actor: Actor, layer: ProgramLayer, maps: Maps) -> Callable[[], None]:
    """Return the function that makes ``actor``'s columns of its layer's output from the feature maps of the rank."""
    sources, target = [maps[source] for source in layer.inputs], maps[layer.output]
    if layer.op is Op.ADD:
        return _add(actor, layer, sources[0], sources[1], target)
    if layer.op is Op.MAX_POOL:
        return _max_pool(actor, layer, sources[0], target)
    columns = as_slice(made_columns(actor))
    inside, made = sources[0].inside, target.inside
    q_in, q_out = layer.inputs[0].quantization, layer.output.quantization
    if layer.op is Op.AVG_POOL:
        window = layer.window
        assert window is not None

        def average() -> None:
            made[:, columns] = ops.avg_pool(inside, window, q_in, q_out, columns)

        return average
    assert layer.op is Op.RELU, layer.op

    def relu() -> None:
        made[:, columns] = ops.relu(inside[:, columns], q_in, q_out)

    return relu


def _add(actor: Actor, layer: ProgramLayer, a: MapBuffer, b: MapBuffer, target: MapBuffer) -> Callable[[], None]:
    quantization = layer.output.quantization
    at = np.array([a.top, a.left, b.top, b.left, target.top, target.left])
    ratios = np.array(add_ratios(layer.inputs[0].quantization, layer.inputs[1].quantization, quantization), np.float64)
    bounds = np.array([quantization.minimum, quantization.maximum], np.float32)
    columns, height = made_columns(actor).astype(np.int64), layer.output.height
    return lambda: add_columns(a.buffer, b.buffer, at, columns, height, ratios, bounds, target.buffer)


def _max_pool(actor: Actor, layer: ProgramLayer, source: MapBuffer, target: MapBuffer) -> Callable[[], None]:
    window = layer.window
    assert window is not None
    at = np.array([source.top, source.left, target.top, target.left])
    shape = np.array(
        [window.kernel_h, window.kernel_w, window.stride_h, window.stride_w, window.pad_top, window.pad_left]
    )
    sizes = np.array([layer.inputs[0].height, layer.inputs[0].width, layer.output.height])
    columns = made_columns(actor).astype(np.int64)
    return lambda: max_pool_columns(source.buffer, at, columns, shape, sizes, target.buffer)
