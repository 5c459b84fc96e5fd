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
        n_tables, n_codes = crossbar.inl.shape
        at = np.clip(np.rint(analog) - crossbar.code_min.astype(np.float32), 0, n_codes - 1).astype(np.intp)
        analog += crossbar.inl[np.arange(analog.shape[1]) % n_tables, at]
    rounded = np.rint(analog)
    codes = np.clip(rounded, crossbar.code_min.astype(np.float32), crossbar.code_max.astype(np.float32))
    n_clipped = int(np.count_nonzero(codes != rounded))
    delivered = np.rint(codes * crossbar.readout_gain + crossbar.readout_offset).astype(np.int32)
    output = delivered.reshape(len(positions), -1, crossbar.n_columns).sum(axis=1, dtype=np.int32)
    return Readout(output, n_clipped)
