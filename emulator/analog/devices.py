"""The devices of one crossbar: programmed once, then read whenever the crossbar is used.

Programming and reading draw from streams keyed by seed and crossbar, so both are functions of their arguments.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from emulator.analog.cells import Coding, Pairs, to_pairs
from emulator.analog.faults import fault_masks
from emulator.analog.pcm import PcmModel
from emulator.analog.randomness import Purpose, stream
from emulator.analog.wires import effective_conductance_us

Real = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Programming:
    """How devices are programmed.

    Attributes:
        model: statistics of the devices.
        noise: whether they miss their targets.
        g_min_us: target of a device that holds a zero.
        stuck_off, stuck_on: shares of the devices that are stuck.
        dead: share of the crossbars that are dead.
    """

    model: PcmModel
    noise: bool
    g_min_us: float = 0.0
    stuck_off: float = 0.0
    stuck_on: float = 0.0
    dead: float = 0.0


@dataclass(frozen=True, slots=True)
class Reading:
    """How devices are read.

    Attributes:
        model: statistics of the devices.
        drift: whether conductances decay.
        noise: whether reads are noisy.
        age_s: time since programming.
        segment_ohm: resistance of a line from cell to cell, 0 for ideal wires.
    """

    model: PcmModel
    drift: bool
    noise: bool
    age_s: float
    segment_ohm: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class ProgrammedDevices:
    """What programming leaves behind at a crossbar.

    Attributes:
        conductance_us: float32, (2, n_slices, rows, columns), positive and negative devices right after programming.
        exponents: float32, same shape, drift exponents.
        digit_per_us: float64, (n_slices,), what a microsiemens is worth in units of the slice's digit.
    """

    conductance_us: NDArray[np.float32]
    exponents: NDArray[np.float32]
    digit_per_us: Real

    @classmethod
    def program(cls, weights: NDArray[np.int8], coding: Coding, how: Programming, key: int) -> Self:
        """Program the weights (rows, columns) of a crossbar; ``key`` is that of its random numbers."""
        model, target = how.model, to_pairs(coding.digits(weights), how.model.g_max_us, how.g_min_us)
        wanted, programmed = target.conductance_us, target.conductance_us
        if how.noise:
            normal = stream(key, Purpose.PROGRAMMING).standard_normal(wanted.shape)
            programmed = model.program(wanted, normal)
        exponents = model.drift_exponents(wanted, stream(key, Purpose.DRIFT).standard_normal(wanted.shape))
        if how.stuck_off or how.stuck_on:
            off, on = fault_masks(stream(key, Purpose.FAULTS).random(wanted.shape), how.stuck_off, how.stuck_on)
            programmed = np.where(off, 0.0, np.where(on, model.g_max_us, programmed))
            exponents = np.where(on, 0.0, exponents)
        if how.dead and stream(key, Purpose.DEATH).random() < how.dead:
            programmed = np.zeros_like(programmed)
        return cls(programmed.astype(np.float32), exponents.astype(np.float32), target.digit_per_us)

    def read(self, how: Reading, key: int) -> "EffectiveWeights":
        """Return what the crossbar computes with at an age; ``key`` is that of the crossbar in the run that reads."""
        programmed = self.conductance_us.astype(np.float64)
        present = programmed
        if how.drift:
            present = how.model.drift(programmed, self.exponents.astype(np.float64), how.age_s)
        if how.noise:
            moment = int(np.float64(how.age_s).view(np.uint64))
            normal = stream(key, Purpose.READ, moment).standard_normal(present.shape)
            present = how.model.read_out(programmed, present, how.age_s, normal)
        at_first, now = (_behind_wires(g, how.segment_ohm) for g in (programmed, present))
        first_digits, digits = (Pairs(g, self.digit_per_us).digits for g in (at_first, now))
        return EffectiveWeights(digits, _ratio_of_means(first_digits, digits))


@dataclass(frozen=True, slots=True, eq=False)
class EffectiveWeights:
    """What a crossbar computes with.

    Attributes:
        digits: float64, (n_slices, rows, columns), in units of each slice's digit.
        compensation: factor of global drift compensation: mean absolute read-out right after programming, over that of
            now; 1 for a dead crossbar.
    """

    digits: Real
    compensation: float


def _behind_wires(conductance_us: Real, segment_ohm: float) -> Real:
    """Apply IR drop; along a word line come column after column, of each the slices, of each the pair."""
    if not segment_ohm:
        return conductance_us
    n_signs, n_slices, n_rows, n_columns = conductance_us.shape
    array = conductance_us.transpose(2, 3, 1, 0).reshape(n_rows, -1)
    seen = effective_conductance_us(array, segment_ohm)
    return seen.reshape(n_rows, n_columns, n_slices, n_signs).transpose(3, 2, 0, 1)


def _ratio_of_means(first: Real, now: Real) -> float:
    before, after = float(np.abs(first).mean()), float(np.abs(now).mean())
    return before / after if after > 0 else 1.0
