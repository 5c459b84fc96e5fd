"""Analog crossbars in the value plane, against plain numpy, and on any number of ranks."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.analog import AnalogOracle
from support.emulations import all_rows, emulate_on_ranks
from support.networks import a_chip, a_policy, a_small_workload

from emulator.chip.analog import Analog
from emulator.chip.spec import Chip
from emulator.emulation import Plane, Workload
from emulator.network.geometry import Span
from emulator.values.calibration import calibrate, needs_calibration
from emulator.values.crossbars import CrossbarMaker
from emulator.values.holdings import AnalogSetup, Holdings
from emulator.values.programming import key_of, program_devices
from emulator.values.weights import cut_weights
from traces.schema import ActorKind

DEVICES = {
    "statistics": "generic", "programming_noise": True, "drift": True, "read_noise": True, "age": "1 day",
    "drift_compensation": True,
}  # fmt: skip
QUIET = {**DEVICES, "programming_noise": False, "drift": False, "read_noise": False}
ADC = {"range": "per_column", "gain_spread": "0 %", "integral_nonlinearity": "0 LSB"}
MODELS: dict[str, dict[str, Any]] = {
    "devices": {"devices": DEVICES},
    "faults": {"devices": QUIET, "faults": {"stuck_off": "2 %", "stuck_on": "1 %", "dead_crossbars": "10 %"}},
    "range": {"devices": {**DEVICES, "g_max": "40 uS", "g_min": "2 uS"}},
    "wires": {"devices": QUIET, "wires": {"segment": "1 ohm"}},
    "converters": {"adc": {**ADC, "gain_spread": "1 %", "integral_nonlinearity": "1 LSB"}},
    "layer range": {"adc": {**ADC, "range": "per_layer"}},
    "fixed range": {"adc": {**ADC, "range": "fixed", "fixed_range": "30 %"}},
    "output noise": {"output_noise": "6 %"},
    "all": {"devices": DEVICES, "wires": {"segment": "0.35 ohm"}, "adc": ADC, "output_noise": "6 %"},
}

COPIES = {"layers": {"conv1": {"copies": 2}}}


def an_analog_chip(models: dict[str, Any], **changes: Any) -> Chip:
    chip = a_chip(rows=16, columns=8, fan_outs=(8, 32))
    ima = chip.cluster.ima.model_copy(update={"models": Analog.model_validate(models), **changes})
    return chip.model_copy(update={"cluster": chip.cluster.model_copy(update={"ima": ima})})


def an_analog_workload(chip: Chip, seed: int = 3, **policy: Any) -> Workload:
    workload = a_small_workload(chip, 3, a_policy(**policy))
    calibrated = needs_calibration(chip.cluster.ima)
    sums = calibrate(workload.mapping, workload.program, workload.images[:2]) if calibrated else {}
    return replace(workload, analog=AnalogSetup(seed, sums))


def outputs_of(workload: Workload, n_ranks: int = 1) -> list[list[int]]:
    results = emulate_on_ranks(workload, n_ranks, Plane.VALUES)
    outputs = {image: values for _, sink in results for image, values in sink.outputs.items()}
    return [outputs[image].tolist() for image in sorted(outputs)]


def oracle_of(workload: Workload) -> AnalogOracle:
    everywhere = Span(0, workload.program.n_clusters)
    holdings = Holdings.cut(cut_weights(workload.mapping, workload.program, everywhere), workload.analog)
    crossbars = holdings.make_crossbars(workload.program, workload.mapping.chip.cluster.ima)
    return AnalogOracle(workload, crossbars)


IDEAL = outputs_of(a_small_workload(a_chip(rows=16, columns=8, fan_outs=(8, 32)), 3))


@pytest.mark.parametrize("name", MODELS)
def test_each_model_alone_and_all_together_are_those_of_plain_numpy(name: str) -> None:
    workload = an_analog_workload(an_analog_chip(MODELS[name]))
    oracle = oracle_of(workload)
    outputs = outputs_of(workload)
    assert outputs == [oracle.run(image).tolist() for image in range(3)]
    assert outputs != IDEAL
    (summary, _), *_ = emulate_on_ranks(workload, 1, Plane.VALUES)
    assert {i: c.n_clipped for i, c in summary.conversions.items()} == oracle.n_clipped


@settings(max_examples=8, deadline=None)
@given(
    models=st.sampled_from(sorted(MODELS)),
    policy=st.sampled_from([{}, COPIES, {**COPIES, "sharing": "strips"}, {"tile_width": 2}]),
)
def test_outputs_checksums_and_clipping_do_not_depend_on_ranks(models: str, policy: dict[str, Any]) -> None:
    workload = an_analog_workload(an_analog_chip(MODELS[models]), **policy)
    by_ranks = [emulate_on_ranks(workload, n_ranks, Plane.VALUES) for n_ranks in (1, 2, 3)]
    checksums = [all_rows(results, "checksums") for results in by_ranks]
    assert checksums[0] == checksums[1] == checksums[2]
    clipped = [{i: c for s, _ in results for i, c in s.conversions.items()} for results in by_ranks]
    assert clipped[0] == clipped[1] == clipped[2]
    n_crossbars = sum(actor.kind is ActorKind.MVM for actor in workload.program.actors)
    assert len(clipped[0]) == n_crossbars


@pytest.mark.parametrize(
    ("models", "changes"),
    [
        ({"slices": 2}, {"weight_bits": 4}),
        ({"slices": 4}, {"weight_bits": 2}),
        ({"devices": QUIET}, {}),
        ({"dac": "rounding"}, {"dac_bits": 8}),
        ({"adc": {**ADC, "range": "fixed", "fixed_range": "100 %"}}, {"adc_bits": 24}),
    ],
)
def test_models_that_take_nothing_away_leave_the_ideal_outputs(
    models: dict[str, Any], changes: dict[str, int]
) -> None:  # fmt: skip
    assert outputs_of(an_analog_workload(an_analog_chip(models, **changes))) == IDEAL


@pytest.mark.parametrize(("weight_bits", "slices"), [(8, 1), (4, 2), (3, 3), (1, 8)])
def test_devices_without_errors_hold_every_weight_exactly(weight_bits: int, slices: int) -> None:
    ima = an_analog_chip({"devices": QUIET, "slices": slices}, weight_bits=weight_bits).cluster.ima
    weights = np.arange(-128, 128).astype(np.int8).reshape(32, 8)
    for scale in (1, 3, 5):  # other largest weights, other conductances
        maker, part = CrossbarMaker(ima), weights // scale
        nothing = np.zeros((slices, part.shape[1]))
        made = maker.assemble(part, maker.program(part, 7), largest_sums=nothing, input_dtype="uint8", key=7)
        assert set(made.readout_gain.tolist()) == {1.0}
        held = (made.levels * made.gain).reshape(len(part), slices, -1).sum(axis=1)
        assert (held == part).all()


def test_four_bit_cells_in_two_columns_take_twice_the_columns() -> None:
    sliced = an_analog_workload(an_analog_chip({"slices": 2}, weight_bits=4)).program
    whole = an_analog_workload(an_analog_chip({})).program
    assert max(len(actor.columns) for actor in sliced.actors if len(actor.rows)) == 4
    assert max(len(actor.columns) for actor in whole.actors if len(actor.rows)) == 8


@pytest.mark.parametrize(("models", "changes"), [({"cells": "rounding"}, {"weight_bits": 4}),
                                                 ({"dac": "rounding"}, {"dac_bits": 4}),
                                                 ({"adc": ADC}, {"adc_bits": 3})])  # fmt: skip
def test_fewer_bits_change_the_outputs_but_not_from_run_to_run(
    models: dict[str, Any], changes: dict[str, int]
) -> None:  # fmt: skip
    workload = an_analog_workload(an_analog_chip(models, **changes))
    first = outputs_of(workload)
    assert first == outputs_of(workload) == [oracle_of(workload).run(image).tolist() for image in range(3)]
    assert first != IDEAL


def test_outputs_depend_on_the_seed() -> None:
    chip = an_analog_chip(MODELS["devices"])
    assert outputs_of(an_analog_workload(chip, 3)) == outputs_of(an_analog_workload(chip, 3))
    assert outputs_of(an_analog_workload(chip, 3)) != outputs_of(an_analog_workload(chip, 4))


def test_every_crossbar_of_a_run_has_random_numbers_of_its_own() -> None:
    workload = an_analog_workload(an_analog_chip(MODELS["devices"]), **COPIES)
    keys = [key_of(actor, 5) for actor in workload.program.actors if actor.kind is ActorKind.MVM]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("read_noise", [False, True])
def test_devices_programmed_before_are_used_instead_of_new_ones_and_read_anew(*, read_noise: bool) -> None:
    chip = an_analog_chip({"devices": {**DEVICES, "read_noise": read_noise}})
    workload = an_analog_workload(chip, 3)
    weights = cut_weights(workload.mapping, workload.program, Span(0, workload.program.n_clusters))
    programmed = program_devices(workload.program, weights, chip.cluster.ima, 3)
    anew = outputs_of(workload)
    assert outputs_of(replace(workload, analog=AnalogSetup(3, {}, programmed)), 2) == anew
    of_another_run = outputs_of(replace(workload, analog=AnalogSetup(99, {}, programmed)), 2)
    assert (of_another_run != anew) == read_noise  # reading is what a run's own seed draws


@pytest.mark.parametrize("dac_bits", [2, 3, 8])
def test_calibrated_columns_just_reach_what_the_images_need(dac_bits: int) -> None:
    """Images as the DACs give them, that is."""
    workload = an_analog_workload(an_analog_chip({"adc": ADC, "dac": "rounding"}, dac_bits=dac_bits))
    oracle = oracle_of(workload)
    for image in range(2):  # those that the ranges were calibrated with
        oracle.run(image)
    # Rounding of earlier layers can lift a sum a little beyond its range; the first layer sees the very same inputs.
    first = [actor for actor in workload.program.actors if actor.kind is ActorKind.MVM and actor.layer_id == 0]
    assert sum(oracle.n_clipped[actor.actor_id] for actor in first) == 0
    narrow = replace(workload.analog, largest_sums={i: s / 2 for i, s in workload.analog.largest_sums.items()})
    clipping = oracle_of(replace(workload, analog=narrow))
    clipping.run(0)
    assert sum(clipping.n_clipped[actor.actor_id] for actor in first) > 0


def test_ranges_per_layer_are_the_largest_of_the_columns() -> None:
    per_column = an_analog_workload(an_analog_chip({"adc": ADC})).analog.largest_sums
    workload = an_analog_workload(an_analog_chip({"adc": {**ADC, "range": "per_layer"}}))
    for actor in workload.program.actors:
        if actor.kind is ActorKind.MVM:
            layer = [a.actor_id for a in workload.program.actors if a.layer_id == actor.layer_id and len(a.rows)]
            largest = max(per_column[i].max() for i in layer)
            assert (workload.analog.largest_sums[actor.actor_id] == largest).all()


def test_the_noise_of_an_output_has_the_deviation_asked_for() -> None:
    noisy = oracle_of(an_analog_workload(an_analog_chip({"output_noise": "6 %"})))
    for crossbar in noisy._crossbars.values():
        largest = np.abs(crossbar.levels).max()
        assert crossbar.sigma == pytest.approx(0.06 * 255 * largest, rel=1e-6)
