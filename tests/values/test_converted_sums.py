"""What the ADCs of one crossbar deliver, against sums of its conductances in float64."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.networks import a_chip

from emulator.analog.cells import Coding
from emulator.analog.crossbar import AnalogCrossbar, split_levels
from emulator.analog.devices import ProgrammedDevices
from emulator.analog.readout import Readout, read_out
from emulator.chip.analog import Analog
from emulator.chip.ima import Ima
from emulator.values.crossbars import CrossbarMaker, coding_of

Real = NDArray[np.float64]

DEVICES = {
    "statistics": "generic", "programming_noise": True, "drift": False, "read_noise": False, "age": "0 s",
    "drift_compensation": False,
}  # fmt: skip
ADC = {"range": "per_column", "gain_spread": "0 %", "integral_nonlinearity": "0 LSB"}
FIXED = {**ADC, "range": "fixed", "fixed_range": "100 %"}
#: Bits of a cell and slices of a weight. Of the last two, the first slice holds nothing but the weight -128.
CELLS = [(8, 1), (4, 2), (2, 4), (1, 8), (7, 2)]

_rng = np.random.default_rng(1)
WEIGHTS = np.clip(np.rint(_rng.normal(0, 30, (256, 24))), -127, 127).astype(np.int8)
INPUTS = np.clip(_rng.exponential(25, (200, 256)), 0, 255).astype(np.uint8)


def an_ima(models: dict[str, Any], cell_bits: int = 8, slices: int = 1, **changes: int) -> Ima:
    models = {**models, "slices": slices, "cells": "rounding"}
    ima = a_chip(rows=256, columns=256, fan_outs=(8,)).cluster.ima
    return ima.model_copy(update={"models": Analog.model_validate(models), "weight_bits": cell_bits, **changes})


def exact_sums(weights: NDArray[np.int8], inputs: NDArray[np.uint8], coding: Coding) -> Real:
    """Largest sums of every slice and column in exact conductances, as calibration finds them."""
    return np.abs(inputs.astype(np.int64) @ coding.digits(weights)).max(axis=1).astype(np.float64)


def deliver(ima: Ima, weights: NDArray[np.int8], inputs: NDArray[np.uint8]) -> tuple[AnalogCrossbar, Real, Readout]:
    """The crossbar, the sums of its conductances in units of the ideal sum, and what its ADCs make of them."""
    maker, coding = CrossbarMaker(ima), coding_of(ima)
    programmed = maker.program(weights, 5)
    sums = exact_sums(weights, inputs, coding)
    crossbar = maker.assemble(weights, programmed, largest_sums=sums, input_dtype="uint8", key=5)
    high, low = np.split(inputs.astype(np.int32) @ split_levels(crossbar.levels).astype(np.int32), 2, axis=1)
    digits = coding.digits(weights).astype(np.float64) if programmed is None else _digits(programmed)
    held = np.tensordot(coding.place_values.astype(np.float64), digits, axes=1)
    return crossbar, inputs @ held, read_out(crossbar, high, low, 0, np.arange(len(inputs)))


def _digits(programmed: ProgrammedDevices) -> Real:
    plus, minus = programmed.conductance_us.astype(np.float64)
    return (plus - minus) * programmed.digit_per_us[:, np.newaxis, np.newaxis]


@pytest.mark.parametrize(("cell_bits", "slices"), CELLS)
def test_ideal_adcs_round_to_units_of_the_ideal_sum_in_every_slice(cell_bits: int, slices: int) -> None:
    _, sums, readout = deliver(an_ima({"devices": DEVICES}, cell_bits, slices), WEIGHTS, INPUTS)
    error = readout.output - sums
    assert readout.n_clipped == 0
    # Half a unit per slice, and what 16 bits for each weight leave.
    assert error.std() < 1.1 * np.sqrt(slices / 12) + 2e-4 * sums.std()


@pytest.mark.parametrize(("cell_bits", "slices"), CELLS)
def test_calibrated_adcs_hardly_clip_the_noise_of_any_slice(cell_bits: int, slices: int) -> None:
    crossbar, sums, readout = deliver(an_ima({"devices": DEVICES, "adc": ADC}, cell_bits, slices), WEIGHTS, INPUTS)
    assert readout.n_clipped < 0.005 * readout.output.size * slices
    steps = crossbar.readout_gain.astype(np.float64).reshape(slices, -1)
    rounding = np.sqrt((steps**2).sum(axis=0).mean() / 12)
    assert np.median(np.abs(readout.output - sums)) < rounding  # 0.87 of it for one slice, 0.67 for many


@pytest.mark.parametrize("weight", [-128, -60])
@pytest.mark.parametrize(("cell_bits", "slices"), [(8, 1), (4, 2), (4, 1), (3, 3), (1, 8)])
def test_a_fixed_range_of_100_percent_just_reaches_a_full_column(weight: int, cell_bits: int, slices: int) -> None:
    weights = np.full((256, 1), weight, np.int8)
    ima = an_ima({"adc": FIXED}, cell_bits, slices)
    crossbar, _, readout = deliver(ima, weights, np.full((1, 256), 255, np.uint8))
    codes = (crossbar.levels.sum(axis=0, dtype=np.int64) * 255) * crossbar.gain
    full = coding_of(ima).digits(weights)[:, 0, 0] != 0
    assert codes == pytest.approx(np.where(full, -127.0, 0.0), rel=1e-5)
    assert readout.n_clipped == 0
