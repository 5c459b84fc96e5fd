"""Put a floating-point ONNX model together layer by layer, with seeded random weights."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

_OPSET = 17
_IR_VERSION = 8
_BIAS_DEVIATION = 0.02
_HE_VARIANCE = 2.0
_LOGIT_DEVIATION = 4.0


class ModelBuilder:
    """Collects nodes and weights. Every tensor is named after the node that makes it.

    Weights are normal with He's deviation sqrt(2 / fan-in), from a stream per layer. Each filter's mean is removed, as
    batch norm would remove the mean of its output: otherwise a deep random network answers every image alike.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def node(self, operator: str, name: str, inputs: list[str], output: str = "", **attributes: Any) -> str:  # noqa: ANN401
        """Add a node and return its output, by default named after it."""
        self._nodes.append(helper.make_node(operator, inputs, [output or name], name=name, **attributes))
        return output or name

    def relu(self, x: str) -> str:
        """Add a ReLU."""
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

    def dense(self, name: str, x: str, c_in: int, c_out: int, variance: float = _HE_VARIANCE, output: str = "") -> str:
        """Add a fully connected layer."""
        rng = self._stream()
        weights = self._centered(rng, (c_out, c_in), np.sqrt(variance / c_in))
        bias = rng.normal(0.0, _BIAS_DEVIATION, c_out)
        inputs = [x, self._weight(f"{name}.weight", weights), self._weight(f"{name}.bias", bias)]
        return self.node("Gemm", name, inputs, output=output, transB=1)

    def classifier(self, name: str, x: str, c_in: int, n_classes: int) -> None:
        """Add the last layer; its output is the model's."""
        self.dense(name, x, c_in, n_classes, _LOGIT_DEVIATION**2, output="logits")

    def model(self, name: str, height: int, width: int, n_classes: int) -> onnx.ModelProto:
        """Return the model: input "image" (batch, 3, height, width), output "logits" (batch, n_classes)."""
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
