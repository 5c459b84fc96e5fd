"""Normal noise that is a function of where it acts, not of when it is drawn.

A counter is hashed (splitmix64's finaliser: Steele, Lea, Flood, OOPSLA 2014) and 16 bits of the hash choose an entry of
a table of the inverse normal distribution, at the centres of 65,536 equally likely intervals. One hash serves four
columns. Largest deviation 4.3 sigma; all moments are the table's, to sampling.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

TABLE_BITS = 16
MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
MIX_1 = 0xBF58476D1CE4E5B9
MIX_2 = 0x94D049BB133111EB


@cache
def normal_table() -> NDArray[np.float32]:
    """Return the inverse normal distribution, float32, (65536,)."""
    n = 1 << TABLE_BITS
    table: NDArray[np.float32] = ndtri((np.arange(n) + 0.5) / n).astype(np.float32)
    table.setflags(write=False)
    return table


def mix(word: int) -> int:
    """Scramble 64 bits: splitmix64's finaliser."""
    word &= MASK
    word = ((word ^ (word >> 30)) * MIX_1) & MASK
    word = ((word ^ (word >> 27)) * MIX_2) & MASK
    return word ^ (word >> 31)


def crossbar_key(seed: int, layer: int, copy: int, row_block: int, column_block: int) -> int:
    """Return the 64-bit key of all random numbers of one crossbar, from the seed and its identity."""
    key = mix(seed + GOLDEN)
    for number in (layer, copy, row_block, column_block):
        key = mix(key + GOLDEN + number)
    return key


def normals(key: int, image: int, positions: NDArray[np.int64], n_columns: int) -> NDArray[np.float32]:
    """Draw the noise of some MVMs of an image with numpy: what the compiled kernel must reproduce.

    Args:
        key: of the crossbar.
        image: which image.
        positions: which output positions of the feature map (row times groups of pixels per row, plus group).
        n_columns: physical columns of the crossbar.

    Returns:
        float32, (positions, n_columns).
    """
    of_image = np.uint64(mix(key + GOLDEN * (image + 1)))
    rows = _mix(of_image + positions.astype(np.uint64) * np.uint64(GOLDEN))
    quads = np.arange(1, -(-n_columns // 4) + 1, dtype=np.uint64) * np.uint64(GOLDEN)
    hashes = _mix(rows[:, np.newaxis] + quads)
    shifts = np.arange(0, 64, TABLE_BITS, dtype=np.uint64)
    indices = (hashes[:, :, np.newaxis] >> shifts) & np.uint64((1 << TABLE_BITS) - 1)
    drawn: NDArray[np.float32] = normal_table()[indices.reshape(len(positions), -1)[:, :n_columns].astype(np.intp)]
    return drawn


def _mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    words = (words ^ (words >> np.uint64(30))) * np.uint64(MIX_1)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(MIX_2)
    return words ^ (words >> np.uint64(31))
