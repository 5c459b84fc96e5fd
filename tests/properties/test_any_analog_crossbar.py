"""Any analog models together, on any network and mapping, deliver what plain numpy makes of the same crossbars."""

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from support.analog import AnalogOracle, made_groups
from support.emulations import all_rows, emulate_on_ranks
from support.networks import a_chip, networks, policies

from emulator.chip.analog import Analog
from emulator.chip.ima import Ima
from emulator.emulation import Plane, Workload
from emulator.mapping.mapping import InfeasibleError
from emulator.mapping.place import map_network
from emulator.network.geometry import Span
from emulator.program.build import build_program
from emulator.values.calibration import calibrate, needs_calibration
from emulator.values.holdings import AnalogSetup, Holdings
from emulator.values.weights import cut_weights
from emulator.values.work import estimate_work

N_IMAGES = 3


@st.composite
def devices(draw: st.DrawFn) -> dict[str, Any]:
    switches = ("programming_noise", "drift", "read_noise", "drift_compensation")
    return {
        "statistics": draw(st.sampled_from(["generic", "hermes_one_device", "hermes_two_devices"])),
        "age": draw(st.sampled_from(["0 s", "1 s", "1 day"])),
        "g_min": draw(st.sampled_from(["0 uS", "1 uS"])),
        **{key: draw(st.booleans()) for key in switches},
    }


@st.composite
def adcs(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["per_column", "per_layer", "fixed"]))
    return {
        "range": kind,
        "gain_spread": draw(st.sampled_from(["0 %", "2 %"])),
        "integral_nonlinearity": draw(st.sampled_from(["0 LSB", "1 LSB"])),
        **({"fixed_range": "20 %"} if kind == "fixed" else {}),
    }


@st.composite
def imas(draw: st.DrawFn) -> Ima:
    """Draw crossbars from 1 x 1 on, with any models: cells, slices and converters of any width among them."""
    weight_bits, dac_bits = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    slices = draw(st.integers(1, -(-8 // weight_bits)))
    models: dict[str, Any] = {"slices": slices, "cells": "rounding", "dac": "rounding"}
    if draw(st.booleans()):
        models["devices"] = draw(devices())
        if draw(st.booleans()):
            models["faults"] = {"stuck_off": "5 %", "stuck_on": "5 %", "dead_crossbars": "20 %"}
        if draw(st.booleans()):
            models["wires"] = {"segment": "2 ohm"}
    if draw(st.booleans()):
        models["adc"] = draw(adcs())
    if draw(st.booleans()):
        models["output_noise"] = "6 %"
    rows = draw(st.one_of(st.integers(1, 6), st.integers(4, 40)))
    ima = a_chip(rows=rows, columns=draw(st.integers(slices, 16)), fan_outs=(8, 64)).cluster.ima
    widths = {"weight_bits": weight_bits, "dac_bits": dac_bits, "adc_bits": draw(st.integers(2, 12))}
    return ima.model_copy(update={"models": Analog.model_validate(models), **widths})


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), ima=imas(), n_ranks=st.integers(1, 3), seed=st.integers(0, 2**64 - 1))
def test_any_models_on_any_mapping_are_those_of_plain_numpy(
    data: st.DataObject, ima: Ima, n_ranks: int, seed: int
) -> None:
    network = data.draw(networks())
    chip = a_chip(rows=ima.rows, columns=ima.weight_columns, fan_outs=(8, 64))
    policy = data.draw(policies(network, chip))  # no more pixels per MVM than columns of weights
    chip = chip.model_copy(update={"cluster": chip.cluster.model_copy(update={"ima": ima})})
    try:
        mapping = map_network(network, chip, policy)
    except InfeasibleError:
        event("does not fit")
        return
    image = network.feature_maps[network.input]
    info = np.iinfo(image.quantization.dtype)
    images = np.random.default_rng(seed).integers(info.min, info.max + 1, (N_IMAGES, *image.shape))
    images[-1] = 0
    workload = Workload(mapping, build_program(mapping), images.astype(image.quantization.dtype))
    sums = calibrate(mapping, workload.program, workload.images[:1]) if needs_calibration(ima) else {}
    workload = replace(workload, analog=AnalogSetup(seed, sums))

    n_ranks = min(n_ranks, np.count_nonzero(estimate_work(workload.program)))
    results = emulate_on_ranks(workload, n_ranks, Plane.VALUES)
    alone = emulate_on_ranks(workload, 1, Plane.VALUES)
    assert all_rows(results, "checksums") == all_rows(alone, "checksums")

    everywhere = Span(0, workload.program.n_clusters)
    held = Holdings.cut(cut_weights(mapping, workload.program, everywhere), workload.analog)
    crossbars = held.make_crossbars(workload.program, ima)
    oracle = AnalogOracle(workload, crossbars)
    outputs = {number: values.tolist() for _, sink in results for number, values in sink.outputs.items()}
    assert outputs == {number: oracle.run(number).tolist() for number in range(N_IMAGES)}
    conversions = {i: c for summary, _ in results for i, c in summary.conversions.items()}
    assert {i: c.n_clipped for i, c in conversions.items()} == oracle.n_clipped
    for i, counted in conversions.items():
        actor = workload.program.actors[i]
        layer = workload.program.layers[actor.layer_id]
        n_mvms = N_IMAGES * layer.output.height * len(made_groups(actor, layer.pixels_per_mvm))
        assert counted.n_conversions == n_mvms * len(actor.columns) * ima.columns_per_weight
