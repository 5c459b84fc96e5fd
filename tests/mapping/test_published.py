"""The mappings of the published study: clusters by group and layer as the paper states them."""

from pathlib import Path

import numpy as np
import pytest

from emulator.chip.load import load_chip
from emulator.mapping.mapping import Mapping
from emulator.mapping.place import map_network
from emulator.mapping.policy import ManualPolicy, load_policy
from emulator.network.graph import Network
from emulator.network.onnx_import import import_onnx
from emulator.network.quantize import quantize_onnx
from emulator.network.zoo import build_network, save_model

ROOT = Path(__file__).parents[2]
GROUPS = {"stem": 16, "pool": 2, "stage1": 56, "stage2": 28, "stage3": 53, "stage4": 167}  # the paper's figure 5


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    folder = tmp_path_factory.mktemp("model")
    save_model(build_network("resnet18", 256, 256, n_classes=1000, seed=0), folder / "float.onnx")
    quantize_onnx(folder / "float.onnx", np.zeros((1, 256, 256, 3), np.uint8), folder / "model.onnx")
    return import_onnx(folder / "model.onnx")


def mapped(network: Network, name: str) -> Mapping:
    policy = load_policy(ROOT / f"configs/policies/{name}.yaml")
    assert isinstance(policy, ManualPolicy)
    return map_network(network, load_chip(ROOT / "configs/chips/bruschi2023.yaml"), policy)


def clusters_of_group(mapping: Mapping, group: str) -> set[int]:
    """Clusters of a stage; those behind the last stage and those kept for residuals belong to it."""
    names = {group, *(("average", "classifier") if group == "stage4" else ())}
    layers = [each for each in mapping.layers if each.layer.name.split(".")[0] in names]
    used = {cluster for each in layers for cluster in each.clusters}
    if group == "stage4":
        stores = [each.store for each in mapping.layers if each.store is not None]
        used |= {site for store in stores for site in store.sites if site < mapping.chip.n_clusters}
    return used


def test_the_last_step_takes_322_clusters_in_the_published_groups(network: Network) -> None:
    mapping = mapped(network, "paper")
    assert mapping.n_clusters_used == 322
    assert {group: len(clusters_of_group(mapping, group)) for group in GROUPS} == GROUPS
    clusters = {each.layer.name: len(each.clusters) for each in mapping.layers}
    assert clusters["stage2.block2.conv2"] == 10  # the paper's layer 12: five row blocks, two copies
    for name in ("stage4.block1.conv1", "stage4.block1.conv2", "stage4.block2.conv1", "stage4.block2.conv2"):
        assert clusters[name] == 40  # the paper's layers 20, 21, 23 and 24
    copies = {each.layer.name: each.n_copies for each in mapping.layers}
    assert copies["stem"] == 16


def test_the_step_before_keeps_residuals_in_the_hbm_and_takes_two_clusters_less(network: Network) -> None:
    mapping, last = mapped(network, "replicated"), mapped(network, "paper")
    assert mapping.n_clusters_used == 320
    stores = [each.store for each in mapping.layers if each.layer.op == "add"]
    assert len(stores) == 8
    assert {site for store in stores if store for site in store.sites} == {mapping.chip.n_clusters}
    spare = {site for each in last.layers if each.store for site in each.store.sites}
    assert len(spare) == 2
    for before, after in zip(mapping.layers, last.layers, strict=True):
        assert before.clusters == after.clusters
