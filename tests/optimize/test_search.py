"""The search: repeats exactly, keeps its budget, can be stopped, and beats what it starts from."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from support.emulations import emulate_on_ranks
from support.networks import NetworkMaker, a_chip, a_policy, a_small_workload, networks

from emulator.chip.load import load_chip
from emulator.chip.spec import Chip
from emulator.emulation import Workload
from emulator.errors import ConfigError, MappingError
from emulator.mapping.mapping import InfeasibleError
from emulator.mapping.place import map_network
from emulator.mapping.policy import ManualPolicy, OptimizePolicy
from emulator.network.graph import FeatureMap, Network, Op, Quantization, Window
from emulator.network.reference import run_reference
from emulator.optimize import judge
from emulator.optimize.evaluate import evaluate
from emulator.optimize.groups import ungrouped
from emulator.optimize.judge import Found
from emulator.optimize.search import optimize
from emulator.program.build import build_program

ROOT = Path(__file__).parents[2]
N_IMAGES = 6
IMAGE = FeatureMap("image", 12, 12, 3, Quantization(0.02, 3, "uint8"))


def a_goal(objective: str = "throughput", clusters: int = 40, evaluations: int = 24, **more: object) -> OptimizePolicy:
    goal = {"kind": "optimize", "objective": objective, "clusters": clusters, "evaluations": evaluations}
    return OptimizePolicy.model_validate({**goal, "pixels_per_mvm": 2, **more})


@pytest.fixture(scope="module")
def chip() -> Chip:
    small = load_chip(ROOT / "configs/chips/small16.yaml")
    return a_chip(rows=40, columns=16, fan_outs=(8, 8)).model_copy(update={"energy": small.energy})


@pytest.fixture(scope="module")
def network(chip: Chip) -> Network:
    return a_small_workload(chip, 1).mapping.network


def search(network: Network, chip: Chip, goal: OptimizePolicy, seed: int = 1) -> Found:
    return optimize(network, chip, goal, n_images=N_IMAGES, seed=seed)


def test_a_seed_fixes_the_search(network: Network, chip: Chip) -> None:
    first, again = (search(network, chip, a_goal()) for _ in range(2))
    assert first == again


def test_it_beats_one_copy_of_everything_and_keeps_within_bound_and_budget(network: Network, chip: Chip) -> None:
    naive = evaluate(network, chip, a_policy(), N_IMAGES)
    for clusters in (naive.n_clusters, 24, 40, 64):
        found = search(network, chip, a_goal(clusters=clusters))
        assert found.figures.n_clusters <= clusters
        assert found.figures == evaluate(network, chip, found.policy, N_IMAGES)
        assert found.figures.images_per_second <= found.bound.images_per_second
        if clusters > naive.n_clusters:
            assert found.figures.makespan_ps < naive.makespan_ps


def test_more_candidates_are_never_worse(network: Network, chip: Chip) -> None:
    costs = [search(network, chip, a_goal(evaluations=n)).figures.makespan_ps for n in (0, 4, 12)]
    assert costs == sorted(costs, reverse=True)


@pytest.mark.parametrize("objective", ["throughput", "latency", "energy-delay"])
def test_the_objective_is_what_gets_better(network: Network, chip: Chip, objective: str) -> None:
    start, found = (search(network, chip, a_goal(objective, evaluations=n)).figures for n in (0, 40))
    energy_delay = [(each.energy_pj or 0) * each.makespan_ps for each in (start, found)]
    measured = {
        "throughput": [start.makespan_ps, found.makespan_ps],
        "latency": [start.first_ps, found.first_ps],
        "energy-delay": energy_delay,
    }
    before, after = measured[objective]
    assert 0 < after <= before


def test_stopping_it_gives_the_best_so_far(network: Network, chip: Chip) -> None:
    best: list[Found] = []

    def stop_at_the_fifth(number: int, n_all: int, found: Found | None) -> None:
        assert n_all == 24  # as the policy says; the analytic start is candidate 0
        if found is not None:
            best.append(found)
        if number == 4:
            raise KeyboardInterrupt

    found = optimize(network, chip, a_goal(), n_images=N_IMAGES, seed=1, on_candidate=stop_at_the_fifth)
    assert found == best[-1]
    with pytest.raises(KeyboardInterrupt):
        optimize(network, chip, a_goal(), n_images=N_IMAGES, seed=1, on_candidate=stop_at_the_fifth, ends_early=False)


def test_stopping_it_before_the_first_candidate_stops_the_command(
    network: Network, chip: Chip, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(judge, "evaluate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        search(network, chip, a_goal())


def test_spent_time_ends_it(network: Network, chip: Chip) -> None:
    numbers: list[int] = []
    goal = a_goal(evaluations=10_000, seconds=1e-9)
    optimize(network, chip, goal, n_images=N_IMAGES, seed=1, on_candidate=lambda number, *_: numbers.append(number))
    assert numbers == [0]


def test_too_few_clusters_are_a_report(network: Network, chip: Chip) -> None:
    with pytest.raises(InfeasibleError, match="crossbars asked, 3 there") as caught:
        search(network, chip, a_goal(clusters=3))
    (shortage,) = caught.value.shortages
    assert f"a policy that allows at least {shortage.demand} clusters (clusters)" in shortage.levers
    assert not any(lever.startswith(("a chip", "fewer copies", "crossbars")) for lever in shortage.levers)


def test_a_network_without_crossbars_has_nothing_to_search_for(chip: Chip) -> None:
    maker = NetworkMaker(IMAGE, lambda: Quantization(0.05, 7, "uint8"), lambda: 1)
    maker.pool(maker.latest, Op.MAX_POOL, Window(2, 2, 2, 2))
    with pytest.raises(MappingError, match="no layer uses a crossbar"):
        search(maker.network(), chip, a_goal())


def test_layers_before_the_first_convolution_count(chip: Chip) -> None:
    maker = NetworkMaker(IMAGE, lambda: Quantization(0.05, 7, "uint8"), lambda: 1)
    maker.relu(maker.pool(maker.latest, Op.MAX_POOL, Window(2, 2, 2, 2)))
    early = maker.latest
    maker.relu(maker.add(early, maker.conv(early, 3, Window(3, 3, 1, 1, 1, 1, 1, 1))))
    network = maker.network()
    assert [layer.name for layer in ungrouped(network)] == ["max_pool0", "relu1"]
    for clusters in (3, 4):  # a cluster for each of the two and at least one for all that follow
        assert search(network, chip, a_goal(clusters=clusters, evaluations=0)).figures.n_clusters == clusters
    with pytest.raises(MappingError, match=r"may find one\. What was tried first: takes 3 clusters"):
        search(network, chip, a_goal(clusters=2, evaluations=0))


def test_buffers_that_overflow_are_the_reason_given(network: Network, chip: Chip) -> None:
    small = chip.model_copy(update={"cluster": chip.cluster.model_copy(update={"l1_bytes": 900})})
    with pytest.raises(MappingError, match=r"What was tried first: random does not fit .*\nL1 of cluster"):
        search(network, small, a_goal(evaluations=0))


def test_energy_delay_needs_coefficients(network: Network, chip: Chip) -> None:
    with pytest.raises(ConfigError, match="no energy coefficients"):
        search(network, chip.model_copy(update={"energy": None}), a_goal("energy-delay"))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(network=networks(), seed=st.integers(0, 99), spare=st.integers(0, 30))
def test_values_are_exact_under_what_is_found(network: Network, seed: int, spare: int) -> None:
    chip = a_chip(rows=24, columns=12, fan_outs=(8, 32))
    least = map_network(network, chip, a_policy()).n_clusters_used
    assume(least + spare <= chip.n_clusters)
    found = search(network, chip, a_goal(clusters=least + spare, evaluations=6), seed)
    assert isinstance(found.policy, ManualPolicy)
    mapping = map_network(network, chip, found.policy)
    image = network.feature_maps[network.input]
    info = np.iinfo(image.quantization.dtype)
    pixels = np.random.default_rng(seed).integers(info.min, info.max + 1, (2, *image.shape))
    pixels = pixels.astype(image.quantization.dtype)
    results = emulate_on_ranks(Workload(mapping, build_program(mapping), pixels), 1)
    outputs = {i: values for _, sink in results for i, values in sink.outputs.items()}
    for i, each in enumerate(pixels):
        assert outputs[i].tolist() == run_reference(network, each)[network.output].ravel().tolist()
