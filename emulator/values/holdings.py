"""What the crossbars and cores of a rank hold, as it travels from rank 0, and the crossbars made of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from emulator.analog.crossbar import AnalogCrossbar
from emulator.analog.devices import ProgrammedDevices
from emulator.chip.ima import Ima
from emulator.parallel.wire import pack, unpack
from emulator.program.dataflow import Program
from emulator.values.programming import assemble_crossbars, program_devices
from emulator.values.weights import ActorWeights


@dataclass(frozen=True, slots=True, eq=False)
class AnalogSetup:
    """What rank 0 knows of a run's analog crossbars; everything by the id of an MVM actor.

    Attributes:
        seed: of all their random numbers.
        largest_sums: float64, (n_slices, columns), what the ADCs must reach, from ``emulator.values.calibration``;
            empty for chips that need no calibration.
        programmed: devices that were programmed before; empty to program them now.
    """

    seed: int = 0
    largest_sums: Mapping[int, NDArray[np.float64]] = field(default_factory=dict)
    programmed: Mapping[int, ProgrammedDevices] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Holdings:
    """What the actors of one rank hold: integer weights, and what their crossbars are set up with."""

    weights: dict[int, ActorWeights]
    setup: AnalogSetup

    @classmethod
    def cut(cls, weights: dict[int, ActorWeights], setup: AnalogSetup) -> Self:
        """Keep of ``setup`` what belongs to the actors in ``weights``."""
        sums = {i: setup.largest_sums[i] for i in weights if i in setup.largest_sums}
        programmed = {i: setup.programmed[i] for i in weights if i in setup.programmed}
        return cls(weights, AnalogSetup(setup.seed, sums, programmed))

    def to_bytes(self) -> bytes:
        """Encode for another rank."""
        setup = self.setup
        return pack(
            {
                "weights": {i: (w.crossbar, w.offset, w.multiplier) for i, w in self.weights.items()},
                "seed": setup.seed,
                "largest_sums": dict(setup.largest_sums),
                "programmed": {i: (d.conductance_us, d.exponents, d.digit_per_us) for i, d in setup.programmed.items()},
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Decode what ``to_bytes`` made."""
        received = unpack(data)
        weights = {i: ActorWeights(*arrays) for i, arrays in received["weights"].items()}
        programmed = {i: ProgrammedDevices(*parts) for i, parts in received["programmed"].items()}
        return cls(weights, AnalogSetup(received["seed"], received["largest_sums"], programmed))

    def make_crossbars(self, program: Program, ima: Ima) -> dict[int, AnalogCrossbar]:
        """Program the devices, unless that was done before, and put the crossbars together; empty if they are ideal."""
        setup = self.setup
        programmed = setup.programmed or program_devices(program, self.weights, ima, setup.seed)
        return assemble_crossbars(
            program, self.weights, ima, setup.seed, programmed=programmed, largest_sums=setup.largest_sums
        )
