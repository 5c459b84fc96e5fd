"""Small floating-point models, quantised by onnxruntime in the ways that users quantise."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from emulator.network.preprocess import to_nchw, to_tensor

QuantizeModel = Callable[..., Path]


class ModelBuilder:
    """Chains ONNX nodes; weights are random with a fixed seed."""

    def __init__(self, height: int, width: int, channels: int = 3) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, channels, height, width])
        self._rng = np.random.default_rng(11)

    def node(self, operator: str, name: str, inputs: Sequence[str], **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name=f"{name}.node", **attributes))
        return name

    def weight(self, name: str, shape: Sequence[int]) -> str:
        fan_in = int(np.prod(shape[1:])) or 1
        values = self._rng.normal(0, np.sqrt(2 / fan_in), shape)
        return self.constant(name, values.astype(np.float32))

    def constant(self, name: str, values: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def conv(self, name: str, x: str, c_in: int, c_out: int, kernel: int, **attributes: Any) -> str:
        weight = self.weight(f"{name}.weight", (c_out, c_in, kernel, kernel))
        bias = self.constant(f"{name}.bias", self._rng.normal(0, 0.1, c_out).astype(np.float32))
        return self.node("Conv", name, [x, weight, bias], kernel_shape=[kernel, kernel], **attributes)

    def model(self, output: str) -> onnx.ModelProto:
        value = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "test", [self._image], [value], self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


class _Images(CalibrationDataReader):
    def __init__(self, images: np.ndarray) -> None:
        tensor = to_nchw(to_tensor(images))
        self._batches = ({"image": tensor[i : i + 1]} for i in range(len(tensor)))

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._batches, None)


@pytest.fixture
def model_builder() -> type[ModelBuilder]:
    return ModelBuilder


@pytest.fixture
def quantize_model(tmp_path: Path) -> QuantizeModel:
    """Quantise a model with chosen activation type, weight granularity and symmetry; returns the file."""

    def quantize(
        model: onnx.ModelProto,
        images: np.ndarray,
        activation: str = "QUInt8",
        *,
        per_channel: bool = True,
        symmetric: bool = False,
    ) -> Path:
        paths = [tmp_path / f"{kind}.onnx" for kind in ("float", "prepared", "quantized")]
        onnx.save(model, paths[0])
        quant_pre_process(str(paths[0]), str(paths[1]))
        quantize_static(
            str(paths[1]),
            str(paths[2]),
            _Images(images),
            quant_format=QuantFormat.QDQ,
            per_channel=per_channel,
            activation_type=QuantType[activation],
            weight_type=QuantType.QInt8,
            extra_options={"ActivationSymmetric": symmetric},
        )
        return paths[2]

    return quantize


@pytest.fixture
def random_images() -> Callable[[int, int, int], np.ndarray]:
    """Make (n, height, width, 3) images: smooth blobs with noise, different from each other."""

    def make(n: int, height: int, width: int) -> np.ndarray:
        rng = np.random.default_rng(3)
        coarse = rng.integers(0, 200, (n, -(-height // 4), -(-width // 4), 3)).repeat(4, axis=1).repeat(4, axis=2)
        noise = rng.integers(0, 56, (n, height, width, 3))
        return (coarse[:, :height, :width] + noise).astype(np.uint8)

    return make
