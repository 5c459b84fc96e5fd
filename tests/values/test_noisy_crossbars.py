"""The value plane with analog crossbars: neutral ones are ideal, noisy ones depend on nothing but their place."""

from dataclasses import replace

import numpy as np
import pytest
from support.networks import a_chip, a_policy, a_small_workload
from support.values import an_analog_crossbar, run_values

from emulator.analog.crossbar import AnalogCrossbar, split_levels
from emulator.analog.readout import read_out
from emulator.emulation import Workload
from emulator.mapping.place import map_network
from emulator.network.graph import FeatureMap, Layer, Network, Op, Quantization, Weights, Window
from emulator.program.build import build_program
from emulator.program.dataflow import Actor
from emulator.values.weights import ActorWeights

CHIP = a_chip(rows=16, columns=8, fan_outs=(8, 32))
POLICIES = {
    "naive": a_policy(),
    "copies in turns": a_policy(layers={"conv[012]": {"copies": 3}}),
    "copies in strips": a_policy(layers={"conv[012]": {"copies": 2, "sharing": "strips"}}),
}


def noisy(actor: Actor, held: ActorWeights) -> AnalogCrossbar:
    neutral = an_analog_crossbar(actor, held)
    rng = np.random.default_rng(actor.actor_id)
    n = neutral.levels.shape[1]
    return replace(
        neutral,
        levels=(neutral.levels + rng.integers(-200, 200, neutral.levels.shape)).astype(np.int16),
        gain=np.full(n, 1 / 128 / 500, np.float32),
        sigma=np.full(n, 1.5, np.float32),
        code_min=np.full(n, -100, np.int32),
        code_max=np.full(n, 60, np.int32),
        readout_gain=np.full(n, 500, np.float32),
    )


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
@pytest.mark.parametrize("gemm", ["integer", "float"])
def test_crossbars_without_errors_are_ideal(policy: object, gemm: str) -> None:
    workload = a_small_workload(CHIP, 2, policy)  # type: ignore[arg-type]
    ends = [0, workload.program.n_clusters]
    ideal = run_values(workload, ends)
    assert run_values(workload, ends, an_analog_crossbar, gemm)[:2] == ideal[:2]  # type: ignore[arg-type]


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_noise_depends_on_neither_ranks_nor_products(policy: object) -> None:
    workload = a_small_workload(CHIP, 3, policy)  # type: ignore[arg-type]
    n = workload.program.n_clusters
    alone = run_values(workload, [0, n], noisy)
    assert sum(alone[2].values()) > 0
    assert alone[:2] != run_values(workload, [0, n])[:2]
    for bounds, gemm in (([0, 3, n], "auto"), ([0, 2, 7, 11, n], "float"), ([0, n], "float")):
        assert run_values(workload, bounds, noisy, gemm) == alone  # type: ignore[arg-type]


def test_copies_of_a_crossbar_err_on_their_own() -> None:
    policy = a_policy(layers={"conv0": {"copies": 2}})
    network_of = a_small_workload(CHIP, 1, policy)
    seen: list[AnalogCrossbar] = []

    def remember(actor: Actor, held: ActorWeights) -> AnalogCrossbar:
        crossbar = noisy(actor, held)
        if actor.layer_id == 0:
            seen.append(crossbar)
        return crossbar

    run_values(network_of, [0, network_of.program.n_clusters], remember)
    assert len({crossbar.noise_key for crossbar in seen}) == len(seen) > 2


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_a_noisy_layer_is_what_its_crossbars_deliver_one_by_one(dtype: str) -> None:
    """A convolution of 1 x 1 pixels, four row blocks, computed again in plain numpy from the crossbars alone."""
    rng = np.random.default_rng(1)
    info = np.iinfo(dtype)
    zero_point = 5
    image = FeatureMap("image", 6, 5, 64, Quantization(1.0, zero_point, dtype))
    result = FeatureMap("result", 6, 5, 8, Quantization(1.0, -3 if dtype == "int8" else 100, dtype))
    weights = Weights(
        rng.integers(-127, 128, (8, 1, 1, 64)).astype(np.int8), np.full(8, 0.002, np.float32), np.zeros(8, np.int32)
    )
    layer = Layer("conv", Op.CONV, ("image",), "result", Window(1, 1), weights)
    network = Network("one layer", {"image": image, "result": result}, (layer,), "image", "result")
    mapping = map_network(network, CHIP, a_policy())
    images = rng.integers(info.min, info.max + 1, (2, *image.shape)).astype(dtype)
    workload = Workload(mapping, build_program(mapping), images)
    seen: list[tuple[Actor, AnalogCrossbar]] = []

    def remember(actor: Actor, held: ActorWeights) -> AnalogCrossbar:
        dac = (np.arange(256, dtype=np.uint8) & np.uint8(0xFC)).view(dtype)  # six bits
        seen.append((actor, replace(noisy(actor, held), dac=dac)))
        return seen[-1][1]

    outputs, _, clipped = run_values(workload, [0, workload.program.n_clusters], remember)
    n_clipped = dict.fromkeys(clipped, 0)
    for number, pixels in enumerate(images):
        total = np.zeros((30, 8), np.int64)
        for actor, crossbar in seen:
            rows = pixels.reshape(30, 64)[:, actor.rows.start : actor.rows.end]
            inputs = (rows.view(np.uint8) & np.uint8(0xFC)).view(dtype).astype(np.int32)
            high, low = np.split(inputs @ split_levels(crossbar.levels).astype(np.int32), 2, axis=1)
            read = read_out(crossbar, high, low, number, np.arange(30))
            total += read.output
            n_clipped[actor.actor_id] += read.n_clipped
        total -= zero_point * weights.values.reshape(8, 64).sum(axis=1)
        real = np.rint(np.float32(0.002) * total.astype(np.float32)) + result.quantization.zero_point
        assert outputs[number] == np.clip(real, info.min, info.max).astype(int).ravel().tolist()
    assert clipped == n_clipped
