"""The plain integer execution of imported models equals onnxruntime bit for bit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from emulator.network.graph import FeatureMap, Layer, Network, Op, Quantization, Weights, Window
from emulator.network.inputs import load_images
from emulator.network.onnx_import import import_onnx
from emulator.network.ort import run_onnxruntime
from emulator.network.preprocess import Preprocessing, quantize_input
from emulator.network.quantize import quantize_onnx
from emulator.network.reference import run_reference
from emulator.network.zoo import build_network, save_model

PHOTOGRAPHS = Path(__file__).parents[2] / "configs" / "images"


def reference_outputs(
    path: Path, images: NDArray[np.uint8], preprocessing: Preprocessing | None = None
) -> NDArray[Any]:
    network = import_onnx(path)
    chosen = preprocessing or Preprocessing()
    tensors = quantize_input(network, images, chosen)
    return np.stack([run_reference(network, tensor)[network.output].ravel() for tensor in tensors])


def assert_equals_onnxruntime(path: Path, images: NDArray[np.uint8]) -> None:
    got, expected = reference_outputs(path, images), run_onnxruntime(path, images)
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected)
    assert len(np.unique(expected, axis=0)) == len(images), "the images must have different outputs"


@pytest.mark.parametrize("activation", ["QUInt8", "QInt8"])
@pytest.mark.parametrize("per_channel", [True, False])
def test_residual_network(
    *, activation: str, per_channel: bool, quantize_model: Callable[..., Path], random_images: Callable[..., Any]
) -> None:
    images = random_images(6, 32, 32)
    model = build_network("resnet8", 32, 32, n_classes=10, seed=1)
    assert_equals_onnxruntime(quantize_model(model, images, activation, per_channel=per_channel), images)


def test_residual_network_with_symmetric_activations_keeps_its_relus(
    quantize_model: Callable[..., Path], random_images: Callable[..., Any]
) -> None:
    images = random_images(4, 32, 32)
    model = build_network("resnet8", 32, 32, n_classes=10, seed=2)
    path = quantize_model(model, images, "QInt8", symmetric=True)
    assert any(layer.op is Op.RELU for layer in import_onnx(path).layers)
    assert_equals_onnxruntime(path, images)


@pytest.mark.parametrize("activation", ["QUInt8", "QInt8"])
def test_vgg_with_average_pool_and_flatten_over_pixels(
    activation: str,
    model_builder: Callable[..., Any],
    quantize_model: Callable[..., Path],
    random_images: Callable[..., Any],
) -> None:
    images = random_images(5, 18, 14)
    b = model_builder(18, 14)
    x = b.node("Relu", "relu1", [b.conv("conv1", "image", 3, 12, 3, pads=[1, 1, 1, 1])])
    x = b.node("MaxPool", "maximum", [x], kernel_shape=[2, 2], strides=[2, 2])
    x = b.node("Relu", "relu2", [b.conv("conv2", x, 12, 20, 3, strides=[1, 2], pads=[1, 0, 1, 2])])
    x = b.node("AveragePool", "mean", [x], kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1])
    x = b.node("Flatten", "flat", [x])
    hidden = b.node("Gemm", "hidden", [x, b.weight("w1", (32, 20 * 5 * 4)), b.weight("b1", (32,))], transB=1)
    x = b.node("Relu", "relu3", [hidden])
    logits = b.node("Gemm", "logits", [x, b.weight("w2", (32, 7))])
    path = quantize_model(b.model(logits), images, activation)
    assert_equals_onnxruntime(path, images)
    network = import_onnx(path)
    assert [layer.window for layer in network.layers if layer.op is Op.CONV][2:] == [Window(5, 4), Window(1, 1)]


def test_matmul_with_bias_reshape_and_automatic_padding(
    model_builder: Callable[..., Any], quantize_model: Callable[..., Path], random_images: Callable[..., Any]
) -> None:
    images = random_images(4, 15, 15)
    b = model_builder(15, 15)
    x = b.node("Relu", "relu", [b.conv("conv", "image", 3, 8, 4, strides=[2, 2], auto_pad="SAME_UPPER")])
    x = b.node("AveragePool", "mean", [x], kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_LOWER")
    x = b.node("Reshape", "flat", [x, b.constant("shape", np.array([1, -1], np.int64))])
    x = b.node("MatMul", "product", [x, b.weight("w", (8 * 16, 9))])
    x = b.node("Add", "logits", [x, b.weight("b", (9,))])
    assert_equals_onnxruntime(quantize_model(b.model(x), images), images)


def test_resnet18_on_a_photograph(tmp_path: Path) -> None:
    image = load_images(PHOTOGRAPHS)[:2, 96:160, 96:160]
    save_model(build_network("resnet18", 64, 64, n_classes=1000, seed=0), tmp_path / "float.onnx")
    quantize_onnx(tmp_path / "float.onnx", image, tmp_path / "quantized.onnx")
    assert_equals_onnxruntime(tmp_path / "quantized.onnx", image)


@pytest.mark.slow
def test_resnet18_on_all_photographs_at_full_size(tmp_path: Path) -> None:
    images = load_images(PHOTOGRAPHS)
    save_model(build_network("resnet18", 256, 256, n_classes=1000, seed=0), tmp_path / "float.onnx")
    quantize_onnx(tmp_path / "float.onnx", images, tmp_path / "quantized.onnx")
    assert_equals_onnxruntime(tmp_path / "quantized.onnx", images)
    classes = reference_outputs(tmp_path / "quantized.onnx", images).argmax(axis=1)
    assert len(set(classes.tolist())) >= 6


def test_normalised_images_reach_both_sides_alike(tmp_path: Path, random_images: Callable[..., Any]) -> None:
    images = random_images(3, 32, 32)
    chosen = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    save_model(build_network("resnet8", 32, 32, n_classes=10, seed=1), tmp_path / "float.onnx")
    quantize_onnx(tmp_path / "float.onnx", images, tmp_path / "quantized.onnx", chosen)
    got = reference_outputs(tmp_path / "quantized.onnx", images, chosen)
    np.testing.assert_array_equal(got, run_onnxruntime(tmp_path / "quantized.onnx", images, chosen))


def test_every_feature_map_has_the_shape_and_type_of_the_graph(
    quantize_model: Callable[..., Path], random_images: Callable[..., Any]
) -> None:
    images = random_images(1, 32, 32)
    network = import_onnx(quantize_model(build_network("resnet8", 32, 32, n_classes=10, seed=1), images))
    maps = run_reference(network, quantize_input(network, images)[0])
    assert set(maps) == set(network.feature_maps)
    for name, values in maps.items():
        assert values.shape == network.feature_maps[name].shape
        assert values.dtype == network.feature_maps[name].quantization.dtype


def test_convolution_equals_its_definition() -> None:
    """One pixel at a time, in real numbers: the integer result lies within half a step of the real one."""
    rng = np.random.default_rng(8)
    q_in, q_out = Quantization(0.5, 100, "uint8"), Quantization(8.0, 120, "uint8")
    window = Window(3, 2, 2, 1, 1, 0, 0, 1)
    weights = Weights(
        rng.integers(-127, 128, (4, 3, 2, 5)).astype(np.int8),
        np.array([0.25, 0.125, 0.25, 0.0625], np.float32),
        rng.integers(-99, 99, 4).astype(np.int32),
    )
    maps = {"x": FeatureMap("x", 6, 5, 5, q_in), "y": FeatureMap("y", 3, 5, 4, q_out)}
    network = Network("one", maps, (Layer("conv", Op.CONV, ("x",), "y", window, weights),), "x", "y")
    x = rng.integers(0, 256, (6, 5, 5)).astype(np.uint8)
    got = run_reference(network, x)["y"]
    real = np.pad((x.astype(float) - 100) * 0.5, ((1, 0), (0, 1), (0, 0)))
    for row, column, channel in np.ndindex(3, 5, 4):
        patch = real[2 * row : 2 * row + 3, column : column + 2]
        scale = float(weights.scale[channel])
        value = (patch * weights.values[channel] * scale).sum() + weights.bias[channel] * 0.5 * scale
        expected = min(max(value / 8.0 + 120, 0), 255)
        assert abs(int(got[row, column, channel]) - expected) <= 0.5
