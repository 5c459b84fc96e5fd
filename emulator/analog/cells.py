"""Weights as conductances of pairs of devices, whole or cut into slices of few bits, and back.

A weight is stored as its magnitude, on the positive or the negative device of a pair; the other one stays at zero. A
cell of ``b`` bits has ``2**b`` levels. Where that is too few for a magnitude, its digits to the base ``2**b`` go to
several columns (*slices*), the most significant first; with fewer bits in all slices than in a magnitude, its least
significant bits are rounded away. Every slice of a crossbar uses the whole range of conductances: its largest digit
becomes ``g_max``.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float64]

#: Bits of the network's weights, sign included; magnitudes up to 128 have as many binary digits.
WEIGHT_BITS = 8
_LARGEST_MAGNITUDE = 128


@dataclass(frozen=True, slots=True)
class Coding:
    """How a weight is cut into slices.

    Attributes:
        cell_bits: bits of one cell.
        n_slices: cells per polarity of a weight, in as many columns.
    """

    cell_bits: int
    n_slices: int

    @property
    def n_dropped_bits(self) -> int:
        """Least significant bits of a magnitude for which the slices have no room."""
        return max(0, WEIGHT_BITS - self.cell_bits * self.n_slices)

    @property
    def place_values(self) -> NDArray[np.int64]:
        """What a unit of each stored digit is worth, most significant first: (n_slices,)."""
        shifts = self.n_dropped_bits + self.cell_bits * np.arange(self.n_slices)[::-1]
        place_values: NDArray[np.int64] = np.int64(1) << shifts.astype(np.int64)
        return place_values

    def digits(self, weights: NDArray[np.int8]) -> NDArray[np.int64]:
        """Cut weights into signed digits: (n_slices, *weights.shape); magnitudes round half up, away from zero."""
        least = int(self.place_values[-1])
        magnitude = np.abs(weights.astype(np.int64))
        rest = np.minimum((magnitude + least // 2) // least, self._largest_stored)
        digits = np.empty((self.n_slices, *weights.shape), np.int64)
        for place in reversed(range(self.n_slices)):
            rest, digits[place] = np.divmod(rest, 1 << self.cell_bits)
        return digits * np.sign(weights.astype(np.int64))

    @property
    def _largest_stored(self) -> int:
        return min((1 << (self.cell_bits * self.n_slices)) - 1, _LARGEST_MAGNITUDE)

    def weights(self, digits: Real) -> Real:
        """Put digits (n_slices, ...) together again."""
        return np.tensordot(self.place_values.astype(np.float64), digits, axes=1)


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """The conductances of a crossbar.

    Attributes:
        conductance_us: float64, (2, n_slices, rows, columns): positive, then negative devices.
        digit_per_us: (n_slices,), what a microsiemens is worth in units of the slice's digit.
    """

    conductance_us: Real
    digit_per_us: Real

    @property
    def digits(self) -> Real:
        """The digits that the conductances stand for: (n_slices, rows, columns)."""
        difference = self.conductance_us[0] - self.conductance_us[1]
        digits: Real = difference * self.digit_per_us[:, np.newaxis, np.newaxis]
        return digits


def to_pairs(digits: NDArray[np.int64], g_max_us: float, g_min_us: float = 0.0) -> Pairs:
    """Map digits to target conductances: ``g+ = g_min + max(d s, 0)``, ``g- = g_min + max(-d s, 0)``.

    ``s`` is ``g_max - g_min`` over the largest digit of the crossbar's slice.

    Args:
        digits: (n_slices, rows, columns).
        g_max_us: conductance of the largest digit.
        g_min_us: conductance of a zero.
    """
    largest = np.maximum(np.abs(digits).max(axis=(1, 2), initial=0), 1)
    us_per_digit = (g_max_us - g_min_us) / largest
    signed = digits * us_per_digit[:, np.newaxis, np.newaxis]
    conductance = g_min_us + np.stack([np.maximum(signed, 0.0), np.maximum(-signed, 0.0)])
    return Pairs(conductance, 1.0 / us_per_digit)
