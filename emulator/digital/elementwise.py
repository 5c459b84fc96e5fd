"""Operations of the cores that treat every element alike: requantisation, residual addition, ReLU.

The rounding is that of the 8-bit kernels of onnxruntime's CPU backend (MLAS) on machines with fused multiply-add.
"""

import numpy as np
from numpy.typing import NDArray

from emulator.digital.quantization import Quantization, Quantized, dequantize, quantize, round_and_clip


def requantize(accumulator: NDArray[np.int32], multiplier: NDArray[np.float32], out: Quantization) -> Quantized:
    """Scale 32-bit accumulators back to 8 bits, as QLinearConv and QGemm do.

    Args:
        accumulator: int32, (..., channels), bias and zero-point correction included.
        multiplier: float32, (channels,) or a single number: ``input scale * weight scale / output scale``.
        out: the quantisation of the result.

    Returns:
        Integers of ``out.dtype``, same shape as ``accumulator``.
    """
    return round_and_clip(accumulator.astype(np.float32) * multiplier, out)


def add(a: Quantized, b: Quantized, qa: Quantization, qb: Quantization, out: Quantization) -> Quantized:
    """Add two feature maps of the same shape, as QLinearAdd does.

    The kernel computes ``(fixed + b * ratio_b) + a * ratio_a`` with two fused multiply-adds in float32, so the order of
    the operands matters in rare ties. All 65,536 pairs were compared for many scales to find this out.

    Args:
        a: first operand of the ONNX Add node.
        b: second operand.
        qa: quantisation of ``a``.
        qb: quantisation of ``b``.
        out: the quantisation of the sum.

    Returns:
        Integers of ``out.dtype``, same shape.
    """
    ratio_a, ratio_b, fixed = add_ratios(qa, qb, out)
    total = _fused_multiply_add(a, ratio_a, _fused_multiply_add(b, ratio_b, fixed))
    clipped = np.clip(total, np.float32(out.minimum), np.float32(out.maximum))
    return np.rint(clipped).astype(out.dtype)


def add_ratios(qa: Quantization, qb: Quantization, out: Quantization) -> tuple[np.float32, np.float32, np.float32]:
    """Return the constants ``ratio_a``, ``ratio_b`` and ``fixed`` of ``add``."""
    ratio_a = np.float32(qa.scale) / np.float32(out.scale)
    ratio_b = np.float32(qb.scale) / np.float32(out.scale)
    offset_b = np.float32(ratio_b * np.float32(qb.zero_point))
    offsets = _fused_multiply_add(np.array(qa.zero_point), ratio_a, offset_b)
    return ratio_a, ratio_b, np.float32(np.float32(out.zero_point) - offsets)


def relu(x: Quantized, q_in: Quantization, q_out: Quantization) -> Quantized:
    """Replace negative numbers by zero and requantise, as Relu between DequantizeLinear and QuantizeLinear does."""
    return quantize(np.maximum(dequantize(x, q_in), np.float32(0)), q_out)


def _fused_multiply_add(
    integers: Quantized, factor: np.float32, addend: NDArray[np.float32] | np.float32
) -> NDArray[np.float32]:
    """Compute ``integers * factor + addend`` rounded once: the 32-bit product is exact in float64."""
    return (integers.astype(np.float64) * np.float64(factor) + np.asarray(addend, np.float64)).astype(np.float32)
