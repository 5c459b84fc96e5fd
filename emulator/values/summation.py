"""Partial sums of the crossbars of one rank, added where the reduction tree leaves the rank or ends.

Each crossbar's sum is computed on its own and goes through its own converters; integers are added, so the order does
not matter. Positions (one MVM each) are worked on in pieces that fit the second cache.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numba import njit
from numpy.typing import NDArray

from emulator.analog.compiled import CompiledReadout
from emulator.analog.crossbar import AnalogCrossbar, split_levels
from emulator.digital.compiled import requantize_rows
from emulator.memory import aligned_copy
from emulator.network.geometry import Span
from emulator.program.dataflow import ProgramLayer
from emulator.values.gather import GatherPlan
from emulator.values.gemm import GemmKind, Product, Scratch, make_product
from emulator.values.maps import MapBuffer
from emulator.values.weights import ActorWeights

Sums = NDArray[np.int32]

#: Bytes of inputs and of sums worked on at a time.
PIECE_BYTES = 1 << 19
#: Sums may be float64.
_SUM_BYTES = 8


@dataclass(frozen=True, slots=True, eq=False)
class Positions:
    """The output positions of some copies of a layer, row by row.

    Attributes:
        groups: which groups of ``pixels_per_mvm`` columns they make, in order.
        height: rows of the output.
        n_groups: groups of a whole row.
    """

    groups: NDArray[np.int64]
    height: int
    n_groups: int

    def __len__(self) -> int:
        return self.height * len(self.groups)

    def numbers(self, first: int, n: int) -> NDArray[np.int64]:
        """Return which positions of the whole output ``first`` and following are: row times ``n_groups`` plus group."""
        rows, at = np.divmod(np.arange(first, first + n), len(self.groups))
        return rows * self.n_groups + self.groups[at]


class Crossbar(Protocol):
    """Computes the sums of one crossbar, or of copies that hold the same.

    Attributes:
        bytes_per_position: the larger of its inputs and its sums.
    """

    bytes_per_position: int

    def add_to(self, total: Sums, image: int, positions: Positions, first: int, *, is_first: bool) -> None:
        """Add the sums of ``len(total)`` positions from ``first`` on to ``total``, or write them if ``is_first``."""
        ...


class IdealCrossbar:
    """A crossbar whose converters pass every integer as it is."""

    def __init__(self, weights: NDArray[np.int8], plan: GatherPlan, kind: GemmKind, scratch: Scratch) -> None:
        self._plan, self._scratch = plan, scratch
        self._product = make_product(kind, weights, scratch)
        self._excess = excess_of(weights, plan)
        self.bytes_per_position = _widest(weights)

    def add_to(self, total: Sums, image: int, positions: Positions, first: int, *, is_first: bool) -> None:  # noqa: ARG002
        """Add exact sums."""
        sums = multiply(self._product, self._plan, self._scratch, positions, first, len(total))
        _add_sums(total, sums, self._excess, is_first)


class ConvertedCrossbar:
    """A crossbar of analog devices behind converters.

    Attributes:
        n_clipped: conversions clipped so far.
    """

    def __init__(self, crossbar: AnalogCrossbar, plan: GatherPlan, kind: GemmKind, scratch: Scratch) -> None:
        weights = split_levels(crossbar.levels)
        self._plan, self._scratch = plan, scratch
        self._product = make_product(kind, weights, scratch)
        self._excess = excess_of(weights, plan)
        self._readout = CompiledReadout(crossbar)
        self.bytes_per_position = _widest(weights)
        self._dac = crossbar.dac if len(crossbar.dac) else None
        self.n_clipped = 0

    def add_to(self, total: Sums, image: int, positions: Positions, first: int, *, is_first: bool) -> None:
        """Add what the ADCs deliver."""
        sums = multiply(self._product, self._plan, self._scratch, positions, first, len(total), self._dac)
        numbers = positions.numbers(first, len(total))
        self.n_clipped += self._readout.add_to(total, sums, self._excess, image, numbers, is_first=is_first)


def multiply(
    product: Product, plan: GatherPlan, scratch: Scratch, positions: Positions, first: int, n: int,
    dac: NDArray[np.generic] | None = None,
) -> NDArray[np.generic]:  # fmt: skip
    """Gather the inputs of ``n`` positions, pass them through a DAC if there is one, and multiply."""
    inputs = scratch.inputs(n, plan.n_rows)
    plan.gather(first, positions.groups, inputs, dac)
    return product.multiply(n)


def _widest(weights: NDArray[np.int8]) -> int:
    """Return the bytes of a product's inputs or of its sums, whichever are more, for one position."""
    n_rows, n_columns = weights.shape
    return max(int(n_rows), int(n_columns) * _SUM_BYTES)


def excess_of(weights: NDArray[np.int8], plan: GatherPlan) -> NDArray[np.int32]:
    """Return what making the inputs unsigned adds to each column's sum."""
    return aligned_copy(weights.sum(axis=0, dtype=np.int32) * np.int32(plan.flip))


@dataclass(frozen=True, slots=True, eq=False)
class Summation:
    """Sums over the crossbars of a rank for the positions of some copies.

    Attributes:
        columns: the columns of the weight matrix that it adds up.
        positions: of its copies.
        crossbars: what it adds; none where everything comes from other ranks.
    """

    columns: Span
    positions: Positions
    crossbars: tuple[Crossbar, ...]

    @property
    def piece(self) -> int:
        """Positions worked on at a time."""
        widest = max((crossbar.bytes_per_position for crossbar in self.crossbars), default=1)
        return max(1, min(len(self.positions), PIECE_BYTES // widest))

    def add_up(self, total: Sums, image: int, first: int) -> None:
        """Put the sums of positions ``first`` and following into ``total``, (n, columns)."""
        for i, crossbar in enumerate(self.crossbars):
            crossbar.add_to(total, image, self.positions, first, is_first=i == 0)


class Epilogue:
    """Requantises finished sums into the output feature map."""

    def __init__(self, layer: ProgramLayer, held: ActorWeights, target: MapBuffer, channels: Span) -> None:
        quantization = layer.output.quantization
        self._scales = aligned_copy(held.offset), aligned_copy(held.multiplier)  # compiled code wants them writable
        self._bounds = np.array([quantization.minimum, quantization.maximum, quantization.zero_point], np.float32)
        self._n_pixels, self._width = layer.pixels_per_mvm, layer.output.width
        self._target, self._channel = target, channels.start

    def finish(self, total: Sums, positions: Positions, first: int) -> None:
        """Requantise the sums of positions ``first`` and following."""
        columns = positions.groups * self._n_pixels
        offset, multiplier = self._scales
        requantize_rows(
            total, offset, multiplier, first, columns, self._n_pixels, self._bounds, self._target.buffer,
            self._target.top, self._target.left, self._width, self._channel,
        )  # fmt: skip


def run_whole(summation: Summation, epilogue: Epilogue, room: Sums, image: int) -> None:
    """Add up and requantise piece by piece, while the sums are in the cache."""
    n_columns = len(summation.columns)
    for first in range(0, len(summation.positions), summation.piece):
        n = min(summation.piece, len(summation.positions) - first)
        total = room[: n * n_columns].reshape(n, n_columns)
        summation.add_up(total, image, first)
        epilogue.finish(total, summation.positions, first)


def run_into(summation: Summation, total: Sums, image: int) -> None:
    """Add up all positions into ``total``, (positions, columns)."""
    if not summation.crossbars:
        total[:] = 0
        return
    for first in range(0, len(summation.positions), summation.piece):
        summation.add_up(total[first : first + summation.piece], image, first)


@njit(cache=True, nogil=True)
def _add_sums(
    total: Sums, sums: NDArray[np.generic], excess: NDArray[np.int32], is_first: bool  # noqa: FBT001
) -> None:  # fmt: skip
    """Add integers written in any type, less what belongs to making the inputs unsigned."""
    for i in range(len(total)):
        into, row = total[i], sums[i]
        if is_first:
            for c in range(len(into)):
                into[c] = np.int32(row[c]) - excess[c]
        else:
            for c in range(len(into)):
                into[c] += np.int32(row[c]) - excess[c]
