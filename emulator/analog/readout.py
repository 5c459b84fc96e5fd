"""From a crossbar's exact sums to what its ADCs deliver: noise, rounding, clipping; the reference in numpy."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emulator.analog.crossbar import AnalogCrossbar
from emulator.analog.noise import normals


@dataclass(frozen=True, slots=True, eq=False)
class Readout:
    """What the ADCs of a crossbar deliver for some MVMs.

    Attributes:
        output: int32, (positions, n_columns), in units of the ideal sum.
        n_clipped: conversions that fell outside the codes.
    """

    output: NDArray[np.int32]
    n_clipped: int


def read_out(
    crossbar: AnalogCrossbar, high: NDArray[np.int32], low: NDArray[np.int32], image: int, positions: NDArray[np.int64]
) -> Readout:  # fmt: skip
    """Convert the sums of some MVMs, step by step as ``AnalogCrossbar`` says: what compiled code must reproduce.

    Args:
        crossbar: the crossbar.
        high: (positions, n_physical), ``input @ high parts`` of ``split_levels``.
        low: (positions, n_physical), ``input @ low parts``.
        image: which image.
        positions: which output positions.
    """
    sums = high.astype(np.float32) * np.float32(256) + low.astype(np.float32)
    analog = sums * crossbar.gain + crossbar.offset
    if crossbar.sigma.any():
        analog += crossbar.sigma * normals(crossbar.noise_key, image, positions, analog.shape[1])
    if crossbar.inl.size:
        analog += deviation(crossbar, analog)
    rounded = np.rint(analog)
    codes = np.clip(rounded, crossbar.code_min.astype(np.float32), crossbar.code_max.astype(np.float32))
    n_clipped = int(np.count_nonzero(codes != rounded))
    delivered = np.rint(codes * crossbar.readout_gain + crossbar.readout_offset).astype(np.int32)
    output = delivered.reshape(len(positions), -1, crossbar.n_columns).sum(axis=1, dtype=np.int32)
    return Readout(output, n_clipped)


def deviation(crossbar: AnalogCrossbar, analog: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what ADCs that are not linear add to levels (positions, n_physical) in steps."""
    bow, s_shape = crossbar.inl
    u = np.clip((analog - crossbar.code_center) * crossbar.per_half_range, np.float32(-1), np.float32(1))
    added: NDArray[np.float32] = (np.float32(1) - u * u) * (bow + s_shape * u)
    return added
