"""One programmed analog crossbar: what a device model leaves behind and the value plane computes with.

Weights are fixed-point integers, so that the products with 8-bit inputs are exact and no blocking, order or number of
ranks can change a result. Everything real acts on each column's sum afterwards, in this order, in float32::

    sum    = input @ levels                                exact integer
    analog = sum * gain + offset + sigma * normal          in ADC steps
    analog = analog + (1 - u u) (bow + s u)                if the ADCs are not linear; u is the place in their range
    code   = clip(round half to even(analog), code_min, code_max)
    output = round(code * readout_gain + readout_offset)   integer, in units of input LSB x ideal weight LSB

Sums beyond 2**24 round in float32, which takes more than 514 rows of the largest inputs and weights.

The output is in the unit of the ideal integer sum, so the cores add partial sums of any crossbar as they are. Noise is
a function of (seed, crossbar, image, output position, column), see ``emulator.analog.noise``.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class AnalogCrossbar:
    """A programmed crossbar with its converters.

    ``n_physical`` columns are the crossbar's own; where weights are sliced they are a multiple of the ``n_columns``
    columns of the weight matrix. Physical column ``p`` adds its output to column ``p % n_columns``, and the weight of
    its slice is part of its ``readout_gain``.

    Attributes:
        n_columns: columns of the block of the weight matrix.
        levels: int16, (rows, n_physical), effective weights.
        gain: float32, (n_physical,), ADC steps per unit of ``input @ levels``.
        offset: float32, (n_physical,), ADC steps.
        sigma: float32, (n_physical,), standard deviation of the output noise of one MVM, ADC steps.
        code_min: int32, (n_physical,), smallest code of the column's ADC.
        code_max: int32, (n_physical,), largest code.
        readout_gain: float32, (n_physical,), what one code stands for in units of the ideal sum; drift compensation and
            calibration of a column belong here.
        readout_offset: float32, (n_physical,), in units of the ideal sum.
        noise_key: from ``emulator.analog.noise.crossbar_key``: seed and identity of the crossbar.
        inl: float32, (2, n_physical), integral non-linearity in ADC steps: bow and S of each column, as
            ``emulator.analog.converters.nonlinearity`` gives them. (2, 0) for none.
        dac: uint8 or int8, (256,), what the DAC makes of the input whose bits are the index. Empty for a DAC that
            passes all 8 bits.
    """

    n_columns: int
    levels: NDArray[np.int16]
    gain: NDArray[np.float32]
    offset: NDArray[np.float32]
    sigma: NDArray[np.float32]
    code_min: NDArray[np.int32]
    code_max: NDArray[np.int32]
    readout_gain: NDArray[np.float32]
    readout_offset: NDArray[np.float32]
    noise_key: int
    inl: NDArray[np.float32]
    dac: NDArray[np.uint8] | NDArray[np.int8]

    def __post_init__(self) -> None:
        """Check shapes and types: compiled code trusts them."""
        n_physical = self.levels.shape[1]
        assert n_physical % self.n_columns == 0, (n_physical, self.n_columns)
        for name, dtype in _PER_COLUMN.items():
            array = getattr(self, name)
            assert array.shape == (n_physical,), (name, array.shape)
            assert array.dtype == dtype, (name, array.dtype)
        assert self.levels.dtype == np.int16, self.levels.dtype
        assert self.inl.dtype == np.float32, self.inl.dtype
        assert self.inl.shape in {(2, 0), (2, n_physical)}, self.inl.shape
        assert len(self.dac) in {0, 256}, self.dac.shape
        assert 0 <= self.noise_key < 2**64, self.noise_key

    @property
    def code_center(self) -> NDArray[np.float32]:
        """The middle of each column's codes."""
        return ((self.code_min.astype(np.float64) + self.code_max) / 2).astype(np.float32)

    @property
    def per_half_range(self) -> NDArray[np.float32]:
        """What a code counts for on the way from the middle of each column's codes, 0, to their ends, -1 and 1."""
        return (2 / (self.code_max.astype(np.float64) - self.code_min)).astype(np.float32)


_PER_COLUMN = {
    "gain": np.float32, "offset": np.float32, "sigma": np.float32, "code_min": np.int32, "code_max": np.int32,
    "readout_gain": np.float32, "readout_offset": np.float32,
}  # fmt: skip

NO_INL = np.empty((2, 0), np.float32)
NO_DAC = np.empty(0, np.uint8)


def split_levels(levels: NDArray[np.int16]) -> NDArray[np.int8]:
    """Write 16-bit levels as two 8-bit matrices side by side, ``levels = 256 * high + low``.

    Returns:
        int8, (rows, 2 * n_physical): high parts, then low parts. Levels above 32639 do not exist in this form.

    Raises:
        ValueError: a level is above 32639 = 127 * 256 + 127.
    """
    if levels.size and int(levels.max()) > LARGEST_LEVEL:
        raise ValueError(f"levels go up to {LARGEST_LEVEL}, got {int(levels.max())}")
    low = levels.astype(np.int8)  # keeps the last 8 bits, as a number from -128 to 127
    high = ((levels.astype(np.int32) - low) >> 8).astype(np.int8)
    return np.concatenate([high, low], axis=1)


#: The largest level that two 8-bit numbers can write.
LARGEST_LEVEL = 127 * 256 + 127
