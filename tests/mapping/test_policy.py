"""Manual policies: what they name must be there, and what they choose must have an effect."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from support.networks import a_chip, a_policy, a_small_workload

from emulator.chip.spec import Chip
from emulator.errors import ConfigError, MappingError
from emulator.mapping.place import map_network
from emulator.mapping.policy import OptimizePolicy, load_policy, policy_to_yaml
from emulator.network.graph import Network
from emulator.optimize.search import optimize

CHIP = a_chip(rows=40, columns=16, fan_outs=(8, 8))


@pytest.fixture(scope="module")
def network() -> Network:
    return a_small_workload(CHIP, 1).mapping.network


@pytest.fixture(scope="module")
def chip() -> Chip:
    return CHIP


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        (
            {"layers": {"conv9": {"copies": 2}}},
            "layers.conv9: no layer of random has this name; there are conv0, conv1,",
        ),
        ({"layers": {"relu*": {"copies": 2}}}, r"layers.relu\*: no layer of random has this name"),
        ({"layers": {"add3": {"pixels_per_mvm": 2}}}, "layers.add3.pixels_per_mvm: has no effect, .* uses crossbars"),
        ({"layers": {"m*": {"reduction": {"fan_in": 2}}}}, r"layers.m\*.reduction: has no effect, .* uses crossbars"),
        ({"layers": {"conv?": {"residual": "hbm"}}}, r"layers.conv\?.residual: has no effect, .* adds a residual"),
        ({"layers": {"conv1": {"guest_of": "add3"}}}, "conv1 is to be a guest of 'add3', which is no earlier layer"),
        ({"layers": {"conv0": {"guest_of": "conv0"}}}, "conv0 is to be a guest of 'conv0', .* there are none"),
        ({"residual": "spare"}, "spare_clusters is 0; ask for at least 1"),
        ({"spare_clusters": 3}, "policy: spare_clusters: 3 have no effect, .*; set it to 0"),
    ],
)
def test_what_a_policy_names_must_be_there(network: Network, chip: Chip, choices: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        map_network(network, chip, a_policy(**choices))


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (
            {"copies": 13},
            "conv0: .* 13 copies, but tiles of 1 make only 12 of its 12 columns; ask for at most 12 copies$",
        ),
        (
            {"copies": 4, "tile_width": 4},
            "conv0: .* 4 copies, but tiles of 4 make only 3 .* 3 copies or narrower tiles$",
        ),
        ({"copies": 2, "tile_width": 64}, "conv0: .* 2 copies, but tiles of 64 make only 1 of its 12 columns"),
        (
            {"pixels_per_mvm": 64},
            r"asks for 64 pixels per MVM \(12 in its 12 columns\), which takes 12 x 8 of 16",
        ),
        ({"pixels_per_mvm": 3, "tile_width": 3}, "conv0: .* takes 3 x 8 of 16 crossbar columns"),
        ({"pixels_per_mvm": 2, "tile_width": 3}, "conv0: .* tiles of a multiple of 2 columns, not 3"),
    ],
)
def test_what_a_policy_asks_for_must_be_possible(
    network: Network, chip: Chip, choice: dict[str, object], said: str
) -> None:
    with pytest.raises(MappingError, match=said):
        map_network(network, chip, a_policy(layers={"conv0": choice}))


def test_later_entries_win_and_leave_other_choices_alone(network: Network) -> None:
    policy = a_policy(tile_width=2, layers={"conv*": {"copies": 2, "sharing": "strips"}, "conv1": {"copies": 3}})
    chosen = {name: policy.choice(name) for name in ("conv0", "conv1", "add3")}
    assert [chosen[name].copies for name in chosen] == [2, 3, 1]
    assert [chosen[name].sharing for name in chosen] == ["strips", "strips", "turns"]
    assert {choice.tile_width for choice in chosen.values()} == {2}
    policy.check_layers(network)


def test_names_with_wildcards_are_names_first(network: Network, chip: Chip) -> None:
    names = ["conv[0]", "features[1]", "*", "add?", "pool", "classifier"]
    renamed = [replace(layer, name=name) for layer, name in zip(network.layers, names, strict=True)]
    network = replace(network, layers=tuple(renamed))
    by_hand = map_network(network, chip, a_policy(layers={"conv[0]": {"copies": 3}}))
    assert [mapped.n_copies for mapped in by_hand.layers] == [3, 1, 1, 1, 1, 1]
    goal = {"kind": "optimize", "objective": "throughput", "clusters": 40, "evaluations": 4, "pixels_per_mvm": 2}
    found = optimize(network, chip, OptimizePolicy.model_validate(goal), n_images=2, seed=1)
    plain = replace(network, layers=tuple(replace(layer, name=f"l{i}") for i, layer in enumerate(network.layers)))
    same = optimize(plain, chip, OptimizePolicy.model_validate(goal), n_images=2, seed=1)
    assert found.figures == same.figures
    assert len({mapped.n_copies for mapped in map_network(network, chip, found.policy).layers}) > 1


@pytest.mark.parametrize("kind", ["[manual]", "{}", "3", "", "other"])
def test_an_unknown_kind_is_refused(tmp_path: Path, kind: str) -> None:
    (tmp_path / "policy.yaml").write_text(f"kind: {kind}\ncopies: 1\n")
    with pytest.raises(ConfigError, match="kind: expected one of manual, optimize, got"):
        load_policy(tmp_path / "policy.yaml")


def test_a_policy_survives_being_written(tmp_path: Path) -> None:
    layers = {"a[[]0]": {"copies": 2, "guest_of": "b: c"}, "yes": {"reduction": {"stages": [3, 1], "clusters": 2}}}
    policy = a_policy(layers=layers, spare_clusters=2, residual="spare", placement="aligned")
    (tmp_path / "policy.yaml").write_text(policy_to_yaml(policy))
    assert load_policy(tmp_path / "policy.yaml") == policy
    assert yaml.safe_load(policy_to_yaml(policy))["layers"].keys() == layers.keys()
