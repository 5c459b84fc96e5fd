"""Run and policy files."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from emulator.config import load_run_config
from emulator.errors import ConfigError
from emulator.mapping.policy import load_policy

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.mark.parametrize("path", sorted((CONFIGS / "runs").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_run_files_of_the_project_are_complete(path: Path) -> None:
    config = load_run_config(path)
    assert config.resolve(config.chip).is_file()


def test_the_policies_of_the_project_load() -> None:
    assert load_policy(CONFIGS / "policies/naive.yaml").tile_width == 1


@pytest.fixture
def run_file(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    for name in ("chip.yaml", "policy.yaml"):
        (tmp_path / name).touch()
    (tmp_path / "images").mkdir()
    network = {"kind": "resnet8", "image_size": 32, "classes": 10, "seed": 1}
    inputs = {"path": "images"}
    return tmp_path / "run.yaml", {
        "chip": "chip.yaml", "policy": "policy.yaml", "network": network, "inputs": inputs, "seed": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": {"kind": "resnet8", "image_size": 32, "classes": 10}}, "network.seed: this key is missing"),
        ({"network": {"kind": "lenet"}}, "network.kind: expected one of 'resnet"),
        ({"network": {"kind": "onnx", "model": "m.onnx"}}, "network.model: no such file or folder"),
        ({"chip": "other.yaml"}, "chip: no such file or folder"),
        ({"inputs": {"path": "nowhere"}}, "inputs.path: no such file or folder"),
        ({"inputs": {"count": 2}}, "inputs.path: this key is missing"),
        (
            {"network": {"kind": "decoder"}},
            "inputs: a decoder's tokens have a number and nothing else: expected count, got path",
        ),
        ({"network": {"kind": "decoder", "layers": 0}}, "network.layers: expected a number of at least 1, got 0"),
        ({"inputs": {"path": "images", "count": 0}}, "inputs.count: expected a number of at least 1, got 0"),
        ({"seed": -1}, "seed: expected a number of at least 0, got -1"),
        ({"sead": 1}, "sead: unknown key; did you mean 'seed'?"),
    ],
)
def test_what_is_wrong_is_named(run_file: tuple[Path, dict[str, Any]], change: dict[str, Any], message: str) -> None:
    path, data = run_file
    path.write_text(yaml.safe_dump(data | change))
    with pytest.raises(ConfigError, match=re.escape(f"{path}: {message}")):
        load_run_config(path)


def test_paths_are_relative_to_the_run_file(run_file: tuple[Path, dict[str, Any]]) -> None:
    path, data = run_file
    path.write_text(yaml.safe_dump(data))
    config = load_run_config(path)
    assert config.image_path == path.parent / "images"


def test_a_policy_with_impossible_choices_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    text = (CONFIGS / "policies/naive.yaml").read_text()
    text = text.replace("{fan_in: 4}", "{fan_in: 1}").replace("residual: consumer_l1", "residual: attic")
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_policy(path)
    assert str(caught.value).splitlines() == [
        f"{path}: reduction.fan_in: expected a number of at least 2, got 1",
        f"{path}: residual: expected 'consumer_l1', 'spare' or 'hbm', got 'attic'",
    ]


def test_a_policy_of_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("kind: naive\n")
    with pytest.raises(ConfigError, match="kind: expected one of manual, optimize, got 'naive'"):
        load_policy(path)


@pytest.mark.parametrize(
    ("reduction", "message"),
    [("{}", "expected either fan_in or stages"), ("{stages: [2]}", "stages must end with one addition")],
)
def test_a_reduction_needs_one_shape_that_ends_in_a_root(tmp_path: Path, reduction: str, message: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text((CONFIGS / "policies/naive.yaml").read_text().replace("{fan_in: 4}", reduction))
    with pytest.raises(ConfigError, match=message):
        load_policy(path)
