"""Plain integer execution of a network, layer after layer, with no chip in sight: the oracle of the value plane."""

import numpy as np

from emulator.digital.elementwise import add, relu, requantize
from emulator.digital.pool import avg_pool, max_pool
from emulator.digital.quantization import Quantized
from emulator.digital.window import Window, padded, patches
from emulator.network.epilogue import conv_epilogue
from emulator.network.graph import Layer, Network, Op


def run_reference(network: Network, image: Quantized) -> dict[str, Quantized]:
    """Execute the network on one image.

    Args:
        network: the network.
        image: (height, width, channels) integers, see ``quantize_input``.

    Returns:
        Every feature map by name, (height, width, channels) integers, input and output included.
    """
    maps = {network.input: image}
    for layer in network.layers:
        maps[layer.output] = _run_layer(layer, network, [maps[name] for name in layer.inputs])
    return maps


def _run_layer(layer: Layer, network: Network, inputs: list[Quantized]) -> Quantized:
    q_in = [network.feature_maps[name].quantization for name in layer.inputs]
    q_out = network.feature_maps[layer.output].quantization
    match layer.op:
        case Op.CONV:
            return _conv(layer, network, inputs[0])
        case Op.MAX_POOL:
            return max_pool(inputs[0], _window(layer))
        case Op.AVG_POOL:
            return avg_pool(inputs[0], _window(layer), q_in[0], q_out)
        case Op.ADD:
            return add(inputs[0], inputs[1], q_in[0], q_in[1], q_out)
        case Op.RELU:
            return relu(inputs[0], q_in[0], q_out)


def _conv(layer: Layer, network: Network, x: Quantized) -> Quantized:
    """Convolve by one matrix product of integers; float64 holds them exactly and multiplies fast."""
    assert layer.weights is not None, "a convolution has weights"
    window = _window(layer)
    columns = patches(padded(x, window, network.feature_maps[layer.inputs[0]].quantization.zero_point), window)
    height, width = columns.shape[:2]
    matrix = layer.weights.values.reshape(layer.weights.values.shape[0], -1).T.astype(np.float64)
    products = columns.reshape(height * width, -1).astype(np.float64) @ matrix
    offset, multiplier = conv_epilogue(layer, network)
    accumulator = products.reshape(height, width, -1).astype(np.int32) + offset
    return requantize(accumulator, multiplier, network.feature_maps[layer.output].quantization)


def _window(layer: Layer) -> Window:
    assert layer.window is not None, f"layer {layer.name} has no window"
    return layer.window
