from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from emulator.network.onnx_import import import_onnx
from emulator.network.quantize import quantize_onnx
from emulator.network.zoo import build_network, save_model


def weights_of(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def count(model: onnx.ModelProto, operator: str) -> int:
    return sum(node.op_type == operator for node in model.graph.node)


def test_resnet18_has_the_published_shape() -> None:
    model = build_network("resnet18", 256, 256, n_classes=1000, seed=0)
    onnx.checker.check_model(model, full_check=True)
    weights = weights_of(model)
    assert (count(model, "Conv"), count(model, "Gemm"), count(model, "Add")) == (20, 1, 8)
    # 11,689,512 parameters, less 9,600 numbers of batch norm, plus one bias for each of its 4,800 channels
    assert sum(values.size for values in weights.values()) == 11_689_512 - 9_600 + 4_800


def test_resnet18_does_2369_million_multiply_accumulates(tmp_path: Path) -> None:
    save_model(build_network("resnet18", 256, 256, n_classes=1000, seed=0), tmp_path / "float.onnx")
    quantize_onnx(tmp_path / "float.onnx", np.zeros((1, 256, 256, 3), np.uint8), tmp_path / "quantized.onnx")
    assert import_onnx(tmp_path / "quantized.onnx").total_macs == 2_369_245_184


def test_resnet34_comes_from_the_same_builder() -> None:
    model = build_network("resnet34", 64, 64, n_classes=10, seed=0)
    assert (count(model, "Conv"), count(model, "Add")) == (36, 16)


def test_resnet50_has_the_published_shape() -> None:
    weights = weights_of(build_network("resnet50", 64, 64, n_classes=1000, seed=0))
    # 25,557,032 parameters, less 53,120 numbers of batch norm, plus one bias for each of its 26,560 channels
    assert sum(values.size for values in weights.values()) == 25_557_032 - 53_120 + 26_560


def test_vgg16_has_the_published_shape() -> None:
    model = build_network("vgg16", 32, 32, n_classes=1000, seed=0)
    assert (count(model, "Conv"), count(model, "MaxPool"), count(model, "Gemm")) == (13, 5, 3)
    # 138,357,544 parameters for 224 x 224 pixels, where the first fully connected layer has 7 x 7 times more inputs
    n_parameters = sum(values.size for values in weights_of(model).values())
    assert n_parameters == 138_357_544 - (7 * 7 - 1) * 512 * 4096


def test_weights_depend_on_the_seed_alone() -> None:
    first, again, other = (weights_of(build_network("resnet8", 32, 32, n_classes=10, seed=s)) for s in (7, 7, 8))
    assert list(first) == list(again)
    for name, values in first.items():
        np.testing.assert_array_equal(values, again[name])
        assert not np.array_equal(values, other[name])


@pytest.mark.parametrize("name", ["stem.weight", "stage3.block1.shortcut.weight", "classifier.weight"])
def test_filters_have_no_mean(name: str) -> None:
    values = weights_of(build_network("resnet8", 32, 32, n_classes=10, seed=0))[name]
    means = values.reshape(values.shape[0], -1).mean(axis=1)
    assert np.abs(means).max() < 1e-6
