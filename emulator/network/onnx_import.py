"""Read an ONNX file. Apart from the model zoo this is the only file that knows the ``onnx`` library."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from emulator.errors import NetworkError
from emulator.network.graph import Network
from emulator.network.lower import lower_model
from emulator.network.raw_model import RawModel, RawNode
from emulator.network.support import refuse_unsupported

_STANDARD_DOMAINS = ("", "ai.onnx")


def import_onnx(path: Path | str, source: Path | str | None = None) -> Network:
    """Read a quantised ONNX model in QDQ form, as onnxruntime's static quantiser writes it.

    Args:
        path: the file. Activations are uint8 or int8, weights int8 (per tensor or per channel), the input has a fixed
            height and width, the batch dimension may be open.
        source: the file that messages name, where ``path`` was made from another one.

    Returns:
        The network, with flattening folded into fully connected weights and ReLU folded into quantisation.

    Raises:
        NetworkError: the file is missing, not ONNX, not quantised, or holds what the emulator cannot express; every
            unsupported node is listed.
    """
    path = Path(path)
    model = _load(path)
    if not _has_quantizers(model):
        raise NetworkError(f"{path}: the model is not quantised (no QuantizeLinear node); quantise it first")
    try:
        raw = _raw_model(path.name, model)
        refuse_unsupported(raw)
        return lower_model(raw)
    except NetworkError as error:
        raise NetworkError(f"{source or path}: {error}") from error


def is_quantized(path: Path | str) -> bool:
    """Tell whether an ONNX model is quantised (QDQ) or still in floating point.

    Raises:
        NetworkError: the file is missing or not ONNX.
    """
    return _has_quantizers(_load(Path(path)))


def _load(path: Path) -> onnx.ModelProto:
    if not path.is_file():
        raise NetworkError(f"{path}: no such file; expected an ONNX model")
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf and onnx have error types of their own
        raise NetworkError(f"{path}: cannot be read as an ONNX model: {error}") from error
    if not model.graph.node:
        raise NetworkError(f"{path}: the ONNX model has no nodes")
    return model


def _has_quantizers(model: onnx.ModelProto) -> bool:
    return any(node.op_type == "QuantizeLinear" for node in model.graph.node)


def _raw_model(name: str, model: onnx.ModelProto) -> RawModel:
    graph = model.graph
    constants = {tensor.name: _array(tensor) for tensor in graph.initializer}
    nodes = []
    for proto in graph.node:
        node = _raw_node(proto)
        if node.operator == "Constant" and "value" in node.attributes:
            constants[node.outputs[0]] = node.attributes["value"]
        else:
            nodes.append(node)
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1 or len(graph.output) != 1:
        counts = f"{len(inputs)} inputs and {len(graph.output)} outputs"
        raise NetworkError(f"expected a model with one input and one output, got {counts}")
    dimensions = inputs[0].type.tensor_type.shape.dim
    shape = tuple(dimension.dim_value or None for dimension in dimensions)
    return RawModel(name, tuple(nodes), constants, inputs[0].name, shape, graph.output[0].name)


def _raw_node(proto: onnx.NodeProto) -> RawNode:
    operator = proto.op_type if proto.domain in _STANDARD_DOMAINS else f"{proto.domain}.{proto.op_type}"
    attributes = {attribute.name: _attribute(attribute) for attribute in proto.attribute}
    return RawNode(proto.name or proto.output[0], operator, tuple(proto.input), tuple(proto.output), attributes)


def _array(tensor: onnx.TensorProto) -> NDArray[np.generic]:
    return numpy_helper.to_array(tensor)


def _attribute(attribute: onnx.AttributeProto) -> Any:  # noqa: ANN401 - an ONNX attribute has one of many types
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, onnx.TensorProto):
        return _array(value)
    return value.decode() if isinstance(value, bytes) else value
