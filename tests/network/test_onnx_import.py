import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from emulator.errors import NetworkError
from emulator.network.epilogue import conv_epilogue
from emulator.network.graph import Op, Window
from emulator.network.onnx_import import import_onnx, is_quantized
from emulator.network.zoo import build_network, save_model


@pytest.fixture
def resnet8(quantize_model: Callable[..., Path], random_images: Callable[..., Any]) -> Path:
    return quantize_model(build_network("resnet8", 32, 32, n_classes=10, seed=1), random_images(2, 32, 32))


def edited(path: Path, change: Callable[[onnx.GraphProto], object]) -> Path:
    """Write a copy of the model with a change made to its graph."""
    model = onnx.load(path)
    change(model.graph)
    copy = path.with_name("edited.onnx")
    onnx.save(model, copy)
    return copy


def test_residual_network_becomes_layers_in_order(resnet8: Path) -> None:
    network = import_onnx(resnet8)
    names = [layer.name for layer in network.layers]
    assert names == [
        "stem",
        "stage1.block1.conv1",
        "stage1.block1.conv2",
        "stage1.block1.add",
        "stage2.block1.conv1",
        *sorted(["stage2.block1.conv2", "stage2.block1.shortcut"], key=names.index),
        "stage2.block1.add",
        "stage3.block1.conv1",
        *sorted(["stage3.block1.conv2", "stage3.block1.shortcut"], key=names.index),
        "stage3.block1.add",
        "average",
        "classifier",
    ]
    assert network.input == "image"
    assert network.feature_maps[network.output].shape == (1, 1, 10)


def test_layers_are_in_topological_order_and_maps_are_consistent(resnet8: Path) -> None:
    network = import_onnx(resnet8)
    known = {network.input}
    for layer in network.layers:
        assert set(layer.inputs) <= known
        known.add(layer.output)
        if layer.weights is not None:
            assert layer.weights.values.dtype == np.int8
            assert layer.weights.values.shape[0] == network.feature_maps[layer.output].channels
            assert layer.weights.values.shape[3] == network.feature_maps[layer.inputs[0]].channels
            assert layer.weights.scale.shape == layer.weights.bias.shape == layer.weights.values.shape[:1]
    assert known == set(network.feature_maps)
    assert all(name == feature_map.name for name, feature_map in network.feature_maps.items())


def test_relus_and_flattening_leave_no_layers(resnet8: Path) -> None:
    ops = {layer.op for layer in import_onnx(resnet8).layers}
    assert ops == {Op.CONV, Op.ADD, Op.AVG_POOL}


def test_fully_connected_weights_are_permuted_to_height_width_channels(
    model_builder: Callable[..., Any], quantize_model: Callable[..., Path], random_images: Callable[..., Any]
) -> None:
    b = model_builder(4, 6)
    flat = b.node("Flatten", "flat", [b.conv("conv", "image", 3, 5, 1)])
    logits = b.node("Gemm", "logits", [flat, b.weight("w", (8, 5 * 4 * 6)), b.weight("b", (8,))], transB=1)
    path = quantize_model(b.model(logits), random_images(2, 4, 6))
    layer = import_onnx(path).layers[-1]
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}
    matrix = constants["w_quantized"]
    assert layer.window == Window(4, 6)
    assert layer.weights.values.shape == (8, 4, 6, 5)
    for out, row, column, channel in [(0, 0, 0, 0), (3, 2, 5, 1), (7, 3, 4, 4)]:
        assert layer.weights.values[out, row, column, channel] == matrix[out, channel * 24 + row * 6 + column]


def test_epilogue_folds_zero_point_and_bias(resnet8: Path) -> None:
    network = import_onnx(resnet8)
    layer = network.layers[-1]
    offset, multiplier = conv_epilogue(layer, network)
    q_in = network.feature_maps[layer.inputs[0]].quantization
    q_out = network.feature_maps[layer.output].quantization
    sums = layer.weights.values.astype(int).sum(axis=(1, 2, 3))
    np.testing.assert_array_equal(offset, layer.weights.bias - q_in.zero_point * sums)
    np.testing.assert_allclose(multiplier, q_in.scale * layer.weights.scale.astype(float) / q_out.scale, rtol=3e-7)
    assert (offset.dtype, multiplier.dtype) == (np.int32, np.float32)


def test_relu_that_is_not_removed_and_clips_is_folded(resnet8: Path) -> None:
    def insert_relu(graph: onnx.GraphProto) -> None:
        quantizer = next(node for node in graph.node if node.input[0] == "stem.relu")
        position = list(graph.node).index(quantizer)
        graph.node.insert(position, helper.make_node("Relu", ["stem.relu"], ["kept"], name="kept.relu"))
        graph.node[position + 1].input[0] = "kept"

    before, after = import_onnx(resnet8), import_onnx(edited(resnet8, insert_relu))
    assert [layer.name for layer in after.layers] == [layer.name for layer in before.layers]


def test_all_unsupported_nodes_are_listed_in_one_message(model_builder: Callable[..., Any], tmp_path: Path) -> None:
    b = model_builder(8, 8)
    x = b.node("QuantizeLinear", "q", ["image", b.constant("s", np.float32(0.1)), b.constant("z", np.uint8(0))])
    x = b.node("DequantizeLinear", "d", [x, "s", "z"])
    x = b.node("Conv", "depthwise", [x, b.weight("w", (3, 1, 3, 3))], kernel_shape=[3, 3], group=3)
    x = b.node("Conv", "dilated", [x, b.weight("w2", (3, 3, 3, 3))], kernel_shape=[3, 3], dilations=[2, 2])
    x = b.node("Sigmoid", "gate", [x])
    onnx.save(b.model(b.node("Softmax", "classes", [x])), tmp_path / "bad.onnx")
    with pytest.raises(NetworkError) as caught:
        import_onnx(tmp_path / "bad.onnx")
    message = str(caught.value)
    assert "depthwise.node (Conv): grouped convolution (group=3)" in message
    assert "dilated.node (Conv): dilation [2, 2]" in message
    assert "gate.node (Sigmoid): operator not supported" in message
    assert "classes.node (Softmax): operator not supported" in message
    assert "supported: Add, AveragePool, Conv" in message
    assert "q.node" not in message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda g: g.node[-1].input.__setitem__(1, "image_scale"), "scale and zero point are not those"),
        (lambda g: g.input[0].type.tensor_type.shape.dim[2].ClearField("dim_value"), "with a fixed size"),
        (lambda g: g.output.append(g.output[0]), "one output, got 1 inputs and 2 outputs"),
        (lambda g: setattr(g.output[0], "name", "nowhere"), "the output nowhere is not quantised"),
    ],
)
def test_a_model_in_another_form_is_refused(
    resnet8: Path, change: Callable[[onnx.GraphProto], object], message: str
) -> None:
    with pytest.raises(NetworkError, match=re.escape(message)):
        import_onnx(edited(resnet8, change))


def test_float_model_is_refused_and_told_apart(tmp_path: Path, resnet8: Path) -> None:
    save_model(build_network("resnet8", 32, 32, n_classes=10, seed=1), tmp_path / "plain.onnx")
    assert not is_quantized(tmp_path / "plain.onnx")
    assert is_quantized(resnet8)
    with pytest.raises(NetworkError, match=r"plain\.onnx: the model is not quantised"):
        import_onnx(tmp_path / "plain.onnx")


@pytest.mark.parametrize("content", [None, b"", b"no model at all"])
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(NetworkError, match=r"model\.onnx: "):
        import_onnx(path)


def test_partial_windows_are_refused(
    model_builder: Callable[..., Any], quantize_model: Callable[..., Path], random_images: Callable[..., Any]
) -> None:
    b = model_builder(9, 9)
    x = b.node("MaxPool", "up", [b.conv("conv", "image", 3, 4, 3)], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    path = quantize_model(b.model(x), random_images(1, 9, 9))
    with pytest.raises(NetworkError, match=r"up.node \(MaxPool\): ceil_mode=1"):
        import_onnx(path)
