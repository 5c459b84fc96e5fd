"""DACs and ADCs of a crossbar: what they can represent, and how a real one deviates."""

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float64]

#: Where the S-shaped part of the non-linearity, u - u**3, has its largest value, 2 / (3 sqrt 3).
_S_SHAPE_PEAK = 2 / (3 * np.sqrt(3))


def largest_code(adc_bits: int) -> int:
    """Return the largest code of an ADC of signed sums; the smallest is its negative."""
    return (1 << (adc_bits - 1)) - 1


def adc_steps(largest_sums: Real, full_scale: Real, adc_bits: int) -> Real:
    """Return the step of each ADC whose range just reaches the given sums.

    A column in which calibration saw nothing gets the widest range of its slice: with next to no range its ADC would
    clip the noise of every MVM. A slice without any has as much of its full scale as the widest other one, and a
    crossbar without any all of it.

    Args:
        largest_sums: (n_slices, columns), not negative.
        full_scale: (n_slices,), the sum of a column full of the largest conductance; positive.
        adc_bits: of the converters.

    Returns:
        (n_slices, columns), in the units of the sums.
    """
    widest = largest_sums.max(axis=1, initial=0.0)
    share = float((widest / full_scale).max()) or 1.0
    elsewhere = np.where(widest > 0, widest, share * full_scale)[:, np.newaxis]
    return np.where(largest_sums > 0, largest_sums, elsewhere) / largest_code(adc_bits)


def nonlinearity(normal: Real, typical_lsb: float) -> NDArray[np.float32]:
    """Return the integral non-linearity of ADCs: the second and third order distortions of an amplifier.

    An ADC gives the code of its input plus a deviation ``(1 - u**2) * (bow + s * u)`` in steps. ``u`` goes from -1 to 1
    over its range. It is the place of the input, not of the code that comes out: the transfer curve is smooth, and what
    half a step changes in it is far below a step. Both ends of the range are right, as after calibration; the bow is
    largest in the middle, the S at ``u = 3**-0.5`` on either side.

    Args:
        normal: (2, columns), standard normal numbers; bow and S get equal shares of the deviation.
        typical_lsb: largest deviation over the codes, in steps, as a mean over many columns (which is 1.01 times that).

    Returns:
        float32, (2, columns), ``bow`` and ``s`` of each column.
    """
    peaks = normal * (typical_lsb / np.sqrt(2))
    coefficients: NDArray[np.float32] = (peaks / np.array([[1.0], [_S_SHAPE_PEAK]])).astype(np.float32)
    return coefficients


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
