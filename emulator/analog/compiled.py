"""``read_out`` compiled: the same integers, one pass over the sums, noise included."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from emulator.analog.crossbar import AnalogCrossbar
from emulator.analog.noise import GOLDEN, MIX_1, MIX_2, mix, normal_table
from emulator.memory import aligned_copy

_GOLDEN = np.uint64(GOLDEN)
_MIX_1 = np.uint64(MIX_1)
_MIX_2 = np.uint64(MIX_2)
_27, _30, _31 = np.uint64(27), np.uint64(30), np.uint64(31)


class CompiledReadout:
    """The converters of one crossbar, laid out for compiled code."""

    def __init__(self, crossbar: AnalogCrossbar) -> None:
        self._key = crossbar.noise_key
        # Copies are writable, which is a type of its own to the compiler.
        self._scales = aligned_copy(crossbar.gain), aligned_copy(crossbar.offset), aligned_copy(crossbar.sigma)
        bounds = crossbar.code_min.astype(np.float32), crossbar.code_max.astype(np.float32)
        self._codes = aligned_copy(bounds[0]), aligned_copy(bounds[1])
        self._readout = aligned_copy(crossbar.readout_gain), aligned_copy(crossbar.readout_offset)
        self._inl = (
            aligned_copy(crossbar.inl),
            aligned_copy(crossbar.code_center),
            aligned_copy(crossbar.per_half_range),
        )
        self._table = normal_table() if crossbar.sigma.any() else normal_table()[:0]

    def add_to(
        self, total: NDArray[np.int32], sums: NDArray[np.generic], excess: NDArray[np.int32], image: int,
        positions: NDArray[np.int64], *, is_first: bool,
    ) -> int:  # fmt: skip
        """Add what the ADCs deliver to ``total``.

        Args:
            total: (n, n_columns); written, not added to, if ``is_first``.
            sums: (n, 2 * n_physical), sums of the high parts and of the low parts of the levels, integers in any type.
            excess: (2 * n_physical,), taken off ``sums`` first.
            image: which image.
            positions: (n,), which output positions.
            is_first: whether this is the first addend.

        Returns:
            How many conversions were clipped.
        """
        key = np.uint64(mix(self._key + GOLDEN * (image + 1)))
        noise = self._table, key, positions
        per_column = *self._scales, *self._codes, *self._readout, *self._inl
        return int(_convert(total, sums, excess, *per_column, *noise, is_first))


# Each step is a loop of its own over arrays of their own: that is what the compiler turns into vector instructions.


@njit(cache=True, nogil=True)
def _convert(
    total: NDArray[np.int32], sums: NDArray[np.generic], excess: NDArray[np.int32], gain: NDArray[np.float32],
    offset: NDArray[np.float32], sigma: NDArray[np.float32], code_min: NDArray[np.float32],
    code_max: NDArray[np.float32], readout_gain: NDArray[np.float32], readout_offset: NDArray[np.float32],
    inl: NDArray[np.float32], code_center: NDArray[np.float32], per_half_range: NDArray[np.float32],
    table: NDArray[np.float32], key: np.uint64, positions: NDArray[np.int64],
    is_first: bool,  # noqa: FBT001 (compiled code knows no keywords)
) -> int:  # fmt: skip
    """Convert position by position; the columns of one stay in the first cache."""
    n_columns, n_physical = total.shape[1], len(gain)
    analog = np.empty(n_physical, np.float32)
    words = np.empty(-(-n_physical // 4), np.uint64)
    numbers = words.view(np.uint16)  # the 16-bit parts of each word, lowest first
    high_excess, low_excess = excess[:n_physical], excess[n_physical:]
    n_clipped = 0
    for i in range(len(total)):
        _scale(analog, sums[i, :n_physical], sums[i, n_physical:], high_excess, low_excess, gain, offset)
        if len(table):
            _hash(words, _mix(key + np.uint64(positions[i]) * _GOLDEN))
            _add_noise(analog, sigma, table, numbers)
        if inl.size:
            _add_nonlinearity(analog, inl[0], inl[1], code_center, per_half_range)
        if is_first:
            total[i] = 0
        if n_columns == n_physical:
            n_clipped += _deliver(total[i], analog, code_min, code_max, readout_gain, readout_offset)
            continue
        for start in range(0, n_physical, n_columns):
            own = slice(start, start + n_columns)
            n_clipped += _deliver(
                total[i], analog[own], code_min[own], code_max[own], readout_gain[own], readout_offset[own]
            )
    return n_clipped


@njit(cache=True, nogil=True)
def _scale(
    analog: NDArray[np.float32], high: NDArray[np.generic], low: NDArray[np.generic], high_excess: NDArray[np.int32],
    low_excess: NDArray[np.int32], gain: NDArray[np.float32], offset: NDArray[np.float32],
) -> None:  # fmt: skip
    """Bring exact sums into ADC steps."""
    for c in range(len(analog)):
        upper = np.float32(np.int32(np.int32(high[c]) - high_excess[c]))
        lower = np.float32(np.int32(np.int32(low[c]) - low_excess[c]))
        analog[c] = (upper * np.float32(256) + lower) * gain[c] + offset[c]


@njit(cache=True, nogil=True)
def _hash(words: NDArray[np.uint64], row: np.uint64) -> None:
    """Hash the columns of one MVM, four to a word."""
    for quad in range(len(words)):
        words[quad] = _mix(row + np.uint64(quad + 1) * _GOLDEN)


@njit(cache=True, nogil=True)
def _add_noise(
    analog: NDArray[np.float32], sigma: NDArray[np.float32], table: NDArray[np.float32], numbers: NDArray[np.uint16]
) -> None:  # fmt: skip
    """Add the noise of one MVM."""
    for c in range(len(analog)):
        analog[c] += sigma[c] * table[numbers[c]]


@njit(cache=True, nogil=True)
def _add_nonlinearity(
    analog: NDArray[np.float32], bow: NDArray[np.float32], s_shape: NDArray[np.float32],
    code_center: NDArray[np.float32], per_half_range: NDArray[np.float32],
) -> None:  # fmt: skip
    """Add what each column's ADC deviates by at that level."""
    one = np.float32(1)
    for c in range(len(analog)):
        u = min(max((analog[c] - code_center[c]) * per_half_range[c], -one), one)
        analog[c] += (one - u * u) * (bow[c] + s_shape[c] * u)


@njit(cache=True, nogil=True)
def _deliver(
    total: NDArray[np.int32], analog: NDArray[np.float32], code_min: NDArray[np.float32],
    code_max: NDArray[np.float32], readout_gain: NDArray[np.float32], readout_offset: NDArray[np.float32],
) -> int:  # fmt: skip
    """Round to codes, clip, and add what they stand for; returns how many were clipped."""
    n_clipped = np.int32(0)  # as wide as the codes, so that vectors hold as many of both
    for c in range(len(total)):
        rounded = np.rint(analog[c])
        code = min(max(rounded, code_min[c]), code_max[c])
        n_clipped = np.int32(n_clipped + np.int32(code != rounded))
        total[c] += np.int32(np.rint(code * readout_gain[c] + readout_offset[c]))
    return int(n_clipped)


@njit(cache=True, nogil=True)
def _mix(word: np.uint64) -> np.uint64:
    """Scramble 64 bits, see ``noise.mix``."""
    word = (word ^ (word >> _30)) * _MIX_1
    word = (word ^ (word >> _27)) * _MIX_2
    return word ^ (word >> _31)
