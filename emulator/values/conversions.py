"""What the ADCs of analog crossbars have done."""

from collections.abc import Mapping
from dataclasses import dataclass

from emulator.analog.crossbar import AnalogCrossbar
from emulator.program.dataflow import Program


@dataclass(frozen=True, slots=True)
class Conversions:
    """What the ADCs of one analog crossbar have done.

    Attributes:
        n_conversions: sums converted.
        n_clipped: of these, sums beyond the ADC's range.
    """

    n_conversions: int
    n_clipped: int


def count_conversions(
    program: Program, crossbars: Mapping[int, AnalogCrossbar], n_images: int, n_clipped: Mapping[int, int]
) -> dict[int, Conversions]:
    """Count by MVM actor what the ADCs did; every MVM converts the sums of all physical columns of its block.

    Args:
        program: the program.
        crossbars: the analog crossbars that computed, by actor id.
        n_images: images computed.
        n_clipped: conversions clipped, by actor id.
    """
    return {
        actor_id: Conversions(
            program.actors[actor_id].n_jobs * n_images * crossbar.levels.shape[1], n_clipped[actor_id]
        )
        for actor_id, crossbar in crossbars.items()
    }
