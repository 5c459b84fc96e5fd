"""Programs the crossbars of one rank: every rank its own, with random numbers keyed by seed and crossbar."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from emulator.analog.crossbar import AnalogCrossbar
from emulator.analog.devices import ProgrammedDevices
from emulator.analog.noise import crossbar_key
from emulator.chip.ima import Ima
from emulator.program.dataflow import Actor, Program
from emulator.values.crossbars import CrossbarMaker, is_ideal
from emulator.values.weights import ActorWeights
from traces.schema import ActorKind

Real = NDArray[np.float64]


def key_of(actor: Actor, seed: int) -> int:
    """Return the key of all random numbers of the crossbar behind an MVM actor: layer, copy and block make it one."""
    return crossbar_key(seed, actor.layer_id, actor.share.index, actor.row_block, actor.column_block)


def program_devices(
    program: Program, held: Mapping[int, ActorWeights], ima: Ima, seed: int
) -> dict[int, ProgrammedDevices]:
    """Program the devices of the crossbars in ``held``, by actor id; empty if the chip's conductances are exact."""
    maker = CrossbarMaker(ima)
    programmed: dict[int, ProgrammedDevices] = {}
    for actor in _crossbars(program, held):
        devices = maker.program(held[actor.actor_id].crossbar, key_of(actor, seed))
        if devices is not None:
            programmed[actor.actor_id] = devices
    return programmed


def assemble_crossbars(
    program: Program,
    held: Mapping[int, ActorWeights],
    ima: Ima,
    seed: int,
    *,
    programmed: Mapping[int, ProgrammedDevices],
    largest_sums: Mapping[int, Real],
) -> dict[int, AnalogCrossbar]:
    """Put the crossbars in ``held`` together, by actor id; empty for a chip whose crossbars are ideal.

    Args:
        program: the program.
        held: weights by actor id.
        ima: the chip's crossbars.
        seed: of the run.
        programmed: what ``program_devices`` gave for the same arguments, now or earlier.
        largest_sums: what ``calibrate`` gave; empty if the chip needs no calibration.
    """
    if is_ideal(ima):
        return {}
    maker = CrossbarMaker(ima)
    crossbars: dict[int, AnalogCrossbar] = {}
    for actor in _crossbars(program, held):
        weights = held[actor.actor_id].crossbar
        nothing = np.zeros((ima.columns_per_weight, weights.shape[1]))
        crossbars[actor.actor_id] = maker.assemble(
            weights,
            programmed.get(actor.actor_id),
            largest_sums=largest_sums.get(actor.actor_id, nothing),
            input_dtype=program.layers[actor.layer_id].inputs[0].quantization.dtype,
            key=key_of(actor, seed),
        )
    return crossbars


def _crossbars(program: Program, held: Mapping[int, ActorWeights]) -> list[Actor]:
    return [actor for actor in program.actors if actor.kind is ActorKind.MVM and actor.actor_id in held]
