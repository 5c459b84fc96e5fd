"""What follows the integer dot products of a convolution: zero-point correction, bias and requantisation."""

import numpy as np
from numpy.typing import NDArray

from emulator.network.graph import Layer, Network


def conv_epilogue(layer: Layer, network: Network) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return what turns raw dot products of a convolution into its quantised output.

    With ``x`` the input's integers, padded with its zero point, and ``w`` the weights::

        output = requantize(sum(x * w) + offset, multiplier, output quantisation)

    Returns:
        offset: int32, (c_out,), bias minus ``input zero point * sum(weights)``.
        multiplier: float32, (c_out,), ``input scale * weight scale / output scale``, rounded after each operation as
            onnxruntime's QLinearConv and QGemm do.
    """
    weights = layer.weights
    assert weights is not None, "only convolutions have an epilogue"
    q_in = network.feature_maps[layer.inputs[0]].quantization
    q_out = network.feature_maps[layer.output].quantization
    sums = weights.values.sum(axis=(1, 2, 3), dtype=np.int32)
    offset = weights.bias - np.int32(q_in.zero_point) * sums
    multiplier = np.float32(q_in.scale) * weights.scale / np.float32(q_out.scale)
    return offset, multiplier
