"""Built-in networks: residual networks as floating-point ONNX models with random weights and batch norm folded in."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

_OPSET = 17
_IR_VERSION = 8
_BIAS_DEVIATION = 0.02
_HE_VARIANCE = 2.0
_STEM_VARIANCE = 64.0  # pixels are positive with little local contrast: this lifts the first feature map to unit scale
_LOGIT_DEVIATION = 4.0


@dataclass(frozen=True, slots=True)
class ResNetShape:
    """The shape of a residual network of basic blocks (two 3 x 3 convolutions each).

    Attributes:
        blocks: number of blocks of each stage; every stage but the first halves the size of the feature map.
        channels: channels of each stage.
        stem_kernel: kernel size of the first convolution.
        stem_stride: its stride; with 2, a 3 x 3 maximum pool of stride 2 follows.
    """

    blocks: tuple[int, ...]
    channels: tuple[int, ...]
    stem_kernel: int = 7
    stem_stride: int = 2


# He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, table 1
RESNET18 = ResNetShape((2, 2, 2, 2), (64, 128, 256, 512))
RESNET34 = ResNetShape((3, 4, 6, 3), (64, 128, 256, 512))
RESNET8 = ResNetShape((1, 1, 1), (8, 16, 32), stem_kernel=3, stem_stride=1)  # for images of 32 x 32 pixels


def resnet18(height: int, width: int, n_classes: int = 1000, seed: int = 0) -> onnx.ModelProto:
    """Build ResNet-18 for images of the given size, with seeded random weights."""
    return build_resnet(RESNET18, height, width, n_classes=n_classes, seed=seed, name="resnet18")


def build_resnet(
    shape: ResNetShape, height: int, width: int, *, n_classes: int, seed: int, name: str = "resnet"
) -> onnx.ModelProto:
    """Build a residual network as a floating-point ONNX model.

    Weights are normal with He's deviation sqrt(2 / fan-in). Each filter's mean is removed, as batch norm would remove
    the mean of its output: otherwise a deep random network answers every image alike. The last convolution of a block
    is scaled by sqrt(1/2) and shortcut convolutions keep the variance, so that the residual sums stay in range.

    Args:
        shape: depth and width of the network.
        height: image height in pixels.
        width: image width in pixels.
        n_classes: outputs of the last layer.
        seed: of the weights; every layer draws from its own stream.
        name: name of the graph.

    Returns:
        The model: input "image" (batch, 3, height, width), output "logits" (batch, n_classes).
    """
    builder = _Builder(seed)
    x = builder.conv("stem", "image", (3, shape.channels[0], shape.stem_kernel), shape.stem_stride, _STEM_VARIANCE)
    x = builder.relu(x)
    if shape.stem_stride > 1:
        x = builder.node("MaxPool", "pool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    c_in = shape.channels[0]
    for stage, (n_blocks, channels) in enumerate(zip(shape.blocks, shape.channels, strict=True), start=1):
        for block in range(1, n_blocks + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            x = builder.block(f"stage{stage}.block{block}", x, c_in, channels, stride)
            c_in = channels
    x = builder.node("GlobalAveragePool", "average", [x])
    x = builder.node("Flatten", "flatten", [x], axis=1)
    builder.classifier("classifier", x, c_in, n_classes)
    return builder.model(name, height, width, n_classes)


def save_model(model: onnx.ModelProto, path: Path) -> None:
    """Write a model to a file."""
    onnx.save(model, path)


class _Builder:
    """Collects nodes and weights. Every tensor is named after the node that makes it."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def node(self, operator: str, name: str, inputs: list[str], output: str = "", **attributes: Any) -> str:  # noqa: ANN401
        self._nodes.append(helper.make_node(operator, inputs, [output or name], name=name, **attributes))
        return output or name

    def relu(self, x: str) -> str:
        return self.node("Relu", f"{x}.relu", [x])

    def conv(
        self, name: str, x: str, filters: tuple[int, int, int], stride: int, variance: float = _HE_VARIANCE
    ) -> str:
        """Add a convolution; ``filters`` is (input channels, output channels, kernel size)."""
        c_in, c_out, kernel = filters
        fan_in = c_in * kernel * kernel
        rng = self._stream()
        weights = self._centered(rng, (c_out, c_in, kernel, kernel), np.sqrt(variance / fan_in))
        bias = rng.normal(0.0, _BIAS_DEVIATION, c_out)
        inputs = [x, self._weight(f"{name}.weight", weights), self._weight(f"{name}.bias", bias)]
        pads = [kernel // 2] * 4
        return self.node("Conv", name, inputs, kernel_shape=[kernel, kernel], strides=[stride, stride], pads=pads)

    def block(self, name: str, x: str, c_in: int, c_out: int, stride: int) -> str:
        """Add two convolutions beside a shortcut, which is a 1 x 1 convolution where the shape changes."""
        y = self.relu(self.conv(f"{name}.conv1", x, (c_in, c_out, 3), stride))
        y = self.conv(f"{name}.conv2", y, (c_out, c_out, 3), 1, variance=1.0)
        if stride > 1 or c_in != c_out:
            x = self.conv(f"{name}.shortcut", x, (c_in, c_out, 1), stride, variance=1.0)
        return self.relu(self.node("Add", f"{name}.add", [y, x]))

    def classifier(self, name: str, x: str, c_in: int, n_classes: int) -> None:
        rng = self._stream()
        weights = self._centered(rng, (n_classes, c_in), _LOGIT_DEVIATION / np.sqrt(c_in))
        bias = rng.normal(0.0, _BIAS_DEVIATION, n_classes)
        inputs = [x, self._weight(f"{name}.weight", weights), self._weight(f"{name}.bias", bias)]
        self.node("Gemm", name, inputs, output="logits", transB=1)

    def model(self, name: str, height: int, width: int, n_classes: int) -> onnx.ModelProto:
        image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, height, width])
        logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", n_classes])
        graph = helper.make_graph(self._nodes, name, [image], [logits], self._weights)
        opset = helper.make_opsetid("", _OPSET)
        return helper.make_model(graph, opset_imports=[opset], ir_version=_IR_VERSION, producer_name="aimc-emulator")

    def _stream(self) -> np.random.Generator:
        """Make the random stream of the next layer: keyed by seed and position, not by what was drawn before."""
        return np.random.Generator(np.random.Philox(np.random.SeedSequence((self._seed, len(self._nodes)))))

    def _centered(self, rng: np.random.Generator, shape: tuple[int, ...], deviation: float) -> NDArray[np.float64]:
        """Draw filters (outputs first) of the given deviation, each with zero mean."""
        drawn: NDArray[np.float64] = rng.normal(0.0, deviation, shape)
        centered: NDArray[np.float64] = drawn - drawn.mean(axis=tuple(range(1, len(shape))), keepdims=True)
        return centered

    def _weight(self, name: str, values: NDArray[np.float64]) -> str:
        self._weights.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name
