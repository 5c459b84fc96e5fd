"""ResNet-18 under every kind of mapping, on several ranks, with either kind of product, against onnxruntime."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support.networks import a_policy
from support.values import run_values

from emulator.chip.load import load_chip
from emulator.chip.spec import Chip
from emulator.emulation import Workload
from emulator.mapping.place import map_network
from emulator.mapping.policy import ManualPolicy, load_policy
from emulator.network.graph import Network
from emulator.network.onnx_import import import_onnx
from emulator.network.ort import run_onnxruntime
from emulator.network.preprocess import PIXELS_OVER_255, quantize_input
from emulator.network.quantize import quantize_onnx
from emulator.network.zoo import build_network, save_model
from emulator.program.build import build_program
from emulator.values.blocks import balanced_blocks
from emulator.values.gemm import GemmKind, integers_are_exact
from emulator.values.work import INTEGER_COSTS

CONFIGS = Path(__file__).parents[2] / "configs"
POLICIES: dict[str, ManualPolicy] = {
    **{name: load_policy(CONFIGS / f"policies/{name}.yaml") for name in ("naive", "replicated", "paper")},  # type: ignore[dict-item]
    "pixels in strips": a_policy(
        layers={
            "stem": {"copies": 4, "sharing": "strips", "pixels_per_mvm": 4, "tile_width": 4},
            "stage1.*.conv?": {"copies": 2, "sharing": "strips", "pixels_per_mvm": 2, "tile_width": 2},
        }
    ),
    "pixels in turns": a_policy(
        placement="interleaved",
        layers={
            "stem": {"copies": 5, "pixels_per_mvm": 3, "tile_width": 3},
            "stage1.*.conv?": {"copies": 3, "pixels_per_mvm": 3, "tile_width": 3},
            "stage2.*.add": {"copies": 2},
        },
    ),
}


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> tuple[Network, NDArray[np.uint8], list[list[int]]]:
    """A ResNet-18 for images of 64 x 64, two of them, and what onnxruntime makes of them."""
    folder = tmp_path_factory.mktemp("resnet")
    images = np.random.default_rng(2).integers(0, 256, (2, 64, 64, 3)).astype(np.uint8)
    save_model(build_network("resnet18", 64, 64, n_classes=100, seed=4), folder / "float.onnx")
    quantize_onnx(folder / "float.onnx", images, folder / "model.onnx")
    expected = run_onnxruntime(folder / "model.onnx", images).astype(int).tolist()
    return import_onnx(folder / "model.onnx"), images, expected


@pytest.fixture(scope="module")
def chip() -> Chip:
    return load_chip(CONFIGS / "chips/bruschi2023.yaml")


@pytest.mark.slow
@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_outputs_equal_onnxruntime_s(
    policy: ManualPolicy, resnet: tuple[Network, NDArray[np.uint8], list[list[int]]], chip: Chip
) -> None:
    network, images, expected = resnet
    mapping = map_network(network, chip, policy)
    workload = Workload(mapping, build_program(mapping), quantize_input(network, images, PIXELS_OVER_255))
    kinds: list[GemmKind] = ["float", *(["integer"] if integers_are_exact() else [])]
    seen = []
    for n_ranks in (1, 2, 3, 5):
        blocks = balanced_blocks(workload.program, INTEGER_COSTS, n_ranks)
        for gemm in kinds if n_ranks < 3 else kinds[-1:]:
            outputs, checksums, _ = run_values(workload, [0, *(block.end for block in blocks)], gemm=gemm)
            assert [outputs[0], outputs[1]] == expected
            seen.append(checksums)
    assert seen[0]
    assert all(each == seen[0] for each in seen)
