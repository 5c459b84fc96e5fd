"""DACs and ADCs of a crossbar: what they can represent, and how a real one deviates."""

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float64]

#: Where the S-shaped part of the non-linearity, u - u**3, has its largest value, 2 / (3 sqrt 3).
_S_SHAPE_PEAK = 2 / (3 * np.sqrt(3))


def largest_code(adc_bits: int) -> int:
    """Return the largest code of an ADC of signed sums; the smallest is its negative."""
    return (1 << (adc_bits - 1)) - 1


def adc_steps(largest_sums: Real, adc_bits: int) -> Real:
    """Return the step of each ADC whose range just reaches the given sums; a range of nothing counts as 1."""
    return np.where(largest_sums > 0, largest_sums, 1.0) / largest_code(adc_bits)


def nonlinearity(amplitudes: Real, adc_bits: int) -> NDArray[np.float32]:
    """Return tables of integral non-linearity by code, zero at both ends of the range and in the middle of its S.

    The second and third order distortions of an amplifier: a bow ``1 - u**2`` and an S ``u - u**3``, with ``u`` from -1
    to 1 over the codes, each scaled to a largest value of 1.

    Args:
        amplitudes: (2, columns), of bow and S in ADC steps.
        adc_bits: of the converter.

    Returns:
        float32, (columns, codes).
    """
    largest = largest_code(adc_bits)
    u = np.arange(-largest, largest + 1) / largest
    shapes = np.stack([1 - u**2, (u - u**3) / _S_SHAPE_PEAK])
    tables: NDArray[np.float32] = (amplitudes.T @ shapes).astype(np.float32)
    return tables


def dac_rounding(dac_bits: int, dtype: str) -> NDArray[np.uint8] | NDArray[np.int8]:
    """Return what a DAC of few bits makes of 8-bit inputs: multiples of its step, rounded half up.

    Args:
        dac_bits: at most 8.
        dtype: "uint8" or "int8".

    Returns:
        (256,), indexed by the bits of the input; of the same type. Nothing exceeds the largest multiple that fits.
    """
    inputs = np.arange(256, dtype=np.uint8).view(dtype).astype(np.int64)
    step = 1 << (8 - dac_bits)
    limits = np.iinfo(dtype)
    rounded = np.clip((inputs + step // 2) // step, limits.min // step, limits.max // step) * step
    outputs: NDArray[np.uint8] | NDArray[np.int8] = rounded.astype(dtype)
    return outputs
