"""Programmed devices in a file, so that many runs can use the very same ones: ``aimc program``."""

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emulator.analog.devices import ProgrammedDevices
from emulator.chip.ima import Ima
from emulator.errors import ConfigError, InputError
from emulator.mapping.mapping import Mapping
from emulator.network.geometry import Span
from emulator.program.dataflow import Actor, Program
from emulator.values.crossbars import coding_of
from emulator.values.programming import program_devices
from emulator.values.weights import ActorWeights, cut_weights

#: Keys of a chip's devices that programming depends on.
_PROGRAMMED_KEYS = {"statistics", "programming_noise", "g_max_us", "g_min_us"}
_ARRAYS = ("conductance_us", "exponents", "digit_per_us")


def save_devices(path: Path, mapping: Mapping, program: Program, seed: int) -> int:
    """Program all devices of a run, write them to a file and return the number of crossbars.

    The file is numpy's ``.npz``: per crossbar ``LAYER/COPY/ROW_BLOCK/COLUMN_BLOCK/ARRAY`` with the arrays of
    ``ProgrammedDevices``, and ``identity``, a JSON text of what they hold.

    Raises:
        ConfigError: the chip's devices are ideal, or the file exists or cannot be written.
    """
    ima = mapping.chip.cluster.ima
    if ima.analog.devices is None:
        raise ConfigError(f"{mapping.chip.name}: no cluster.ima.analog.devices, so there is nothing to program")
    weights = _all_weights(mapping, program)
    programmed = program_devices(program, weights, ima, seed)
    arrays: dict[str, NDArray[Any]] = {"identity": np.array(json.dumps(_identity(ima, program, weights)))}
    for actor_id, devices in programmed.items():
        name = _name(program.actors[actor_id])
        arrays |= {f"{name}/{array}": getattr(devices, array) for array in _ARRAYS}
    try:
        with path.open("xb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # names are not those of its options
    except FileExistsError:
        raise ConfigError(f"{path}: the file exists; choose another with -o, or remove it") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None
    return len(programmed)


def load_devices(path: Path, mapping: Mapping, program: Program) -> dict[int, ProgrammedDevices]:
    """Read what ``save_devices`` wrote, for the crossbars of a mapping, by actor id.

    Raises:
        ConfigError: the file was made for other weights, cells or statistics.
        InputError: it cannot be read.
    """
    ima = mapping.chip.cluster.ima
    try:
        _check_archive(path)
        with np.load(path, allow_pickle=False) as file:
            found = _read_identity(file)
            expected = json.loads(json.dumps(_identity(ima, program, _all_weights(mapping, program))))
            different = [key for key in expected if found.get(key) != expected[key]]
            if different:
                raise ConfigError(
                    f"{path}: these devices were programmed for another run ({', '.join(different)} differ); make them "
                    "anew with 'aimc program'"
                )
            n_slices, crossbars = coding_of(ima).n_slices, [actor for actor in program.actors if len(actor.rows)]
            return {actor.actor_id: _devices(file, actor, n_slices) for actor in crossbars}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, ConfigError):
            raise
        raise InputError(f"{path}: cannot be read as programmed devices: {error}") from error


def _check_archive(path: Path) -> None:
    """Refuse what numpy would take for an array or an object."""
    if path.is_file() and not zipfile.is_zipfile(path):
        raise ValueError("expected a file that 'aimc program' wrote")


def _read_identity(file: Any) -> dict[str, Any]:  # noqa: ANN401 (numpy's open file)
    identity = json.loads(str(file["identity"]))
    if not isinstance(identity, dict):
        raise ValueError("expected a file that 'aimc program' wrote")  # noqa: TRY004 (it is the file that is wrong)
    return identity


def _devices(file: Any, actor: Actor, n_slices: int) -> ProgrammedDevices:  # noqa: ANN401 (numpy's open file)
    name = _name(actor)
    conductance, exponents, digit_per_us = (file[f"{name}/{array}"] for array in _ARRAYS)
    pairs = (2, n_slices, len(actor.rows), len(actor.columns))
    for array, expected in ((conductance, pairs), (exponents, pairs), (digit_per_us, (n_slices,))):
        if array.shape != expected or array.dtype.kind != "f":
            raise ValueError(f"{name}: expected numbers {expected}, got {array.dtype} {array.shape}")
        if not (array >= 0).all() or not np.isfinite(array).all():
            raise ValueError(f"{name}: expected finite numbers, at least 0")
    return ProgrammedDevices(conductance, exponents, digit_per_us)


def _all_weights(mapping: Mapping, program: Program) -> dict[int, ActorWeights]:
    return cut_weights(mapping, program, Span(0, program.n_clusters))


def _identity(ima: Ima, program: Program, weights: dict[int, ActorWeights]) -> dict[str, Any]:
    """Say what devices hold: two runs with the same answer can share them."""
    coding, analog = coding_of(ima), ima.analog
    digest = hashlib.sha256()
    for actor in program.actors:
        if len(actor.rows):
            digest.update(f"{_name(actor)} {weights[actor.actor_id].crossbar.shape}".encode())
            digest.update(weights[actor.actor_id].crossbar.tobytes())
    return {
        "weights and mapping": digest.hexdigest(),
        "cells": [coding.cell_bits, coding.n_slices],
        "statistics": analog.devices and analog.devices.model_dump(include=_PROGRAMMED_KEYS),
        "faults": analog.faults and analog.faults.model_dump(),
    }


def _name(actor: Actor) -> str:
    return f"{actor.layer_id}/{actor.share.index}/{actor.row_block}/{actor.column_block}"
