"""Weights and biases of a QDQ model: integers with a scale, brought into the emulator's layout."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emulator.errors import NetworkError
from emulator.network.graph import FeatureMap, Weights
from emulator.network.raw_model import RawNode

_INT32_LIMIT = 2**31


@dataclass(frozen=True, slots=True, eq=False)
class Parameter:
    """A dequantised constant: ``real = scale * values``, zero point already subtracted.

    Attributes:
        values: int64, the integers minus their zero point.
        scale: float32, () or (channels,).
        axis: which axis of ``values`` the scale runs along, where it is not a single number.
    """

    values: NDArray[np.int64]
    scale: NDArray[np.float32]
    axis: int


def conv_weights(kernel: Parameter, bias: NDArray[np.int32], node: RawNode) -> Weights:
    """Bring a Conv kernel (c_out, c_in, kernel_h, kernel_w) into the emulator's layout."""
    values = _signed_bytes(kernel, node).transpose(0, 2, 3, 1)
    return Weights(np.ascontiguousarray(values), scale_per_output(kernel, 0, node), bias)


def matrix_weights(matrix: Parameter, x: FeatureMap, bias: NDArray[np.int32], node: RawNode, out_axis: int) -> Weights:
    """Turn a fully connected matrix into a convolution whose kernel covers the whole input.

    ONNX flattens (channels, height, width), the emulator (height, width, channels): the columns are permuted.
    """
    values = _signed_bytes(matrix, node)
    scale = scale_per_output(matrix, out_axis, node)
    by_output = values if out_axis == 0 else values.T
    if by_output.shape[1] != x.height * x.width * x.channels:
        size = f"{x.height} x {x.width} x {x.channels}"
        raise NetworkError(f"{node}: its matrix takes {by_output.shape[1]} inputs, its input {x.name} is {size}")
    chw = by_output.reshape(-1, x.channels, x.height, x.width)
    return Weights(np.ascontiguousarray(chw.transpose(0, 2, 3, 1)), scale, bias)


def integer_bias(
    bias: Parameter | NDArray[np.floating] | None, product_scale: NDArray[np.float32], node: RawNode
) -> NDArray[np.int32]:
    """Return the bias in units of the product scale, as QLinearConv wants it.

    Args:
        bias: quantised by ``product_scale``, or real numbers, or absent.
        product_scale: float32, (c_out,), input scale times weight scale.
        node: for messages.
    """
    n_outputs = product_scale.size
    if bias is None:
        return np.zeros(n_outputs, np.int32)
    if isinstance(bias, Parameter):
        if not np.allclose(np.broadcast_to(bias.scale, (n_outputs,)), product_scale, rtol=1e-4, atol=0):
            raise NetworkError(f"{node}: the bias is not quantised with input scale times weight scale")
        integers = bias.values.reshape(-1)
    else:
        integers = np.rint(bias.reshape(-1).astype(np.float64) / product_scale).astype(np.int64)
    if integers.size != n_outputs or np.abs(integers).max(initial=0) >= _INT32_LIMIT:
        raise NetworkError(f"{node}: expected a bias of {n_outputs} 32-bit integers, got {integers.size} numbers")
    return integers.astype(np.int32)


def scale_per_output(parameter: Parameter, out_axis: int, node: RawNode) -> NDArray[np.float32]:
    """Return one weight scale per output channel: float32, (c_out,)."""
    n_outputs = parameter.values.shape[out_axis]
    if parameter.scale.size > 1 and parameter.axis % parameter.values.ndim != out_axis:
        raise NetworkError(
            f"{node}: weights have scales along axis {parameter.axis}, expected the outputs ({out_axis})"
        )
    return np.broadcast_to(parameter.scale.reshape(-1), (n_outputs,)).astype(np.float32)


def _signed_bytes(parameter: Parameter, node: RawNode) -> NDArray[np.int8]:
    if parameter.values.min() < -128 or parameter.values.max() > 127:
        raise NetworkError(f"{node}: weights minus their zero point do not fit int8; quantise them as symmetric int8")
    return parameter.values.astype(np.int8)
