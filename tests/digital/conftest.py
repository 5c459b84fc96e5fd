"""Runs one operator on 8-bit integers in onnxruntime: DequantizeLinear, the operator, QuantizeLinear."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from emulator.digital.quantization import Quantization

Array = NDArray[Any]
RunOperator = Callable[..., Array]
_TYPES = {"uint8": TensorProto.UINT8, "int8": TensorProto.INT8}


@pytest.fixture(scope="session")
def run_operator() -> RunOperator:
    return _run_operator


def _run_operator(
    operator: str, inputs: Sequence[Array], quantizations: Sequence[Quantization], out: Quantization, **attributes: Any
) -> Array:
    """Run ``operator`` on (height, width, channels) maps; ``quantizations`` are those of the inputs."""
    constants, nodes, infos, names = [], [], [], []
    for i, quantization in enumerate([*quantizations, out]):
        constants += [
            numpy_helper.from_array(np.array(quantization.scale, np.float32), f"scale{i}"),
            numpy_helper.from_array(np.array(quantization.zero_point, quantization.dtype), f"zero{i}"),
        ]
    for i, (x, quantization) in enumerate(zip(inputs, quantizations, strict=True)):
        infos.append(helper.make_tensor_value_info(f"x{i}", _TYPES[quantization.dtype], [1, x.shape[2], *x.shape[:2]]))
        nodes.append(helper.make_node("DequantizeLinear", [f"x{i}", f"scale{i}", f"zero{i}"], [f"real{i}"]))
        names.append(f"real{i}")
    last = len(inputs)
    nodes.append(helper.make_node(operator, names, ["result"], **attributes))
    nodes.append(helper.make_node("QuantizeLinear", ["result", f"scale{last}", f"zero{last}"], ["y"]))
    output = helper.make_tensor_value_info("y", _TYPES[out.dtype], None)
    graph = helper.make_graph(nodes, "operator", infos, [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    feeds = {f"x{i}": x.transpose(2, 0, 1)[np.newaxis] for i, x in enumerate(inputs)}
    return _session(model.SerializeToString()).run(None, feeds)[0][0].transpose(1, 2, 0)


def _session(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    options.add_session_config_entry("session.x64quantprecision", "1")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
