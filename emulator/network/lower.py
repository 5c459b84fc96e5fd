"""Turn the nodes of a QDQ model into layers: each node between DequantizeLinear and QuantizeLinear is one layer."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from emulator.errors import NetworkError
from emulator.network.graph import FeatureMap, Layer, Network, Op, Quantization, Weights, Window
from emulator.network.onnx_window import node_window
from emulator.network.parameters import Parameter, conv_weights, integer_bias, matrix_weights, scale_per_output
from emulator.network.raw_model import RawModel, RawNode
from emulator.network.tensors import Image, Matrix, Pending, Tensor, View

_QUANTIZER_SUFFIX = "_QuantizeLinear_Input"  # onnxruntime's quantiser renames the tensor before the last QuantizeLinear


def lower_model(model: RawModel) -> Network:
    """Build the network of a model whose operators are all supported.

    Raises:
        NetworkError: the model is not in the form that onnxruntime's static quantiser writes; names the node.
    """
    return _Lowering(model).run()


class _Lowering:
    """One pass over the nodes in topological order; ``_tensors`` tells what each ONNX tensor stands for."""

    def __init__(self, model: RawModel) -> None:
        self._model = model
        self._tensors: dict[str, Tensor] = {model.input: Image(_image_shape(model))}
        self._maps: dict[str, FeatureMap] = {}
        self._layers: list[Layer] = []
        self._input: str | None = None
        self._rules: dict[str, Callable[[RawNode], Tensor]] = {
            "QuantizeLinear": self._quantize,
            "DequantizeLinear": self._dequantize,
            "Conv": self._conv,
            "Gemm": self._gemm,
            "MatMul": self._matmul,
            "MaxPool": self._max_pool,
            "AveragePool": self._average_pool,
            "GlobalAveragePool": self._global_average_pool,
            "Add": self._add,
            "Relu": self._relu,
            "Flatten": self._flatten,
            "Reshape": self._flatten,
            "Squeeze": self._flatten,
            "Identity": self._same,
            "Dropout": self._same,
        }

    def run(self) -> Network:
        for node in self._model.nodes:
            self._tensors[node.outputs[0]] = self._rules[node.operator](node)
        output = self._tensors.get(self._model.output)
        if not isinstance(output, View) or self._input is None:
            raise NetworkError(f"the output {self._model.output} is not quantised")
        if output.flat and self._maps[output.name].height * self._maps[output.name].width > 1:
            raise NetworkError("the output is a flattened feature map; remove the last Flatten")
        return Network(self._model.name, self._maps, tuple(self._layers), self._input, output.name)

    # -- quantisation ------------------------------------------------------------------------------------------------

    def _quantize(self, node: RawNode) -> Tensor:
        quantization = self._quantization(node)
        source = self._tensors.get(node.inputs[0])
        match source:
            case View() if self._maps[source.name].quantization == quantization:
                return source
            case View():
                raise NetworkError(f"{node}: changes the quantisation of {source.name}; only layers may do that")
            case Image():
                name = self._add_map(node.inputs[0], source.shape, quantization)
                self._input = name
                return View(name, flat=False)
            case Pending():
                return self._finish(source, node.inputs[0], quantization)
            case _:
                raise NetworkError(f"{node}: quantises {node.inputs[0]}, which is no activation")

    def _dequantize(self, node: RawNode) -> Tensor:
        source = self._tensors.get(node.inputs[0])
        if source is None:
            return self._parameter(node)
        if not isinstance(source, View) or self._maps[source.name].quantization != self._quantization(node):
            raise NetworkError(f"{node}: its scale and zero point are not those of the quantised {node.inputs[0]}")
        return source

    def _parameter(self, node: RawNode) -> Parameter:
        values, scale = self._constant(node, 0), self._constant(node, 1)
        zero_point = self._constant(node, 2) if _has_input(node, 2) else np.zeros((), values.dtype)
        axis = node.integer("axis", 1) if scale.size > 1 else 0
        aligned = zero_point.astype(np.int64).reshape(-1)
        if aligned.size > 1:
            aligned = aligned.reshape([-1 if a == axis % values.ndim else 1 for a in range(values.ndim)])
        return Parameter(values.astype(np.int64) - aligned, scale.astype(np.float32), axis)

    def _quantization(self, node: RawNode) -> Quantization:
        scale = self._constant(node, 1)
        zero_point = self._constant(node, 2) if _has_input(node, 2) else np.zeros((), np.uint8)
        if scale.size != 1 or zero_point.size != 1 or zero_point.dtype not in (np.uint8, np.int8):
            kind = f"{scale.size} scales and {zero_point.dtype}"
            raise NetworkError(f"{node}: expected one scale and uint8 or int8 activations, got {kind}")
        return Quantization(float(scale.reshape(())), int(zero_point.reshape(())), str(zero_point.dtype))

    # -- layers ------------------------------------------------------------------------------------------------------

    def _conv(self, node: RawNode) -> Tensor:
        x = self._map(node, 0)
        kernel = self._weights(node, 1)
        c_out, c_in, kernel_h, kernel_w = _shape_of(kernel, node, 4)
        if c_in != x.channels:
            raise NetworkError(f"{node}: its kernel takes {c_in} channels, its input {x.name} has {x.channels}")
        window = node_window(node, x, (kernel_h, kernel_w))
        matrix = Matrix(kernel, 0, self._bias(node, 2))
        shape = (*window.output_size(x.height, x.width), c_out)
        return Pending(node, Op.CONV, (x.name,), shape, window=window, matrix=matrix)

    def _gemm(self, node: RawNode) -> Tensor:
        return self._fully_connected(node, 0 if node.integer("transB", 0) else 1, self._bias(node, 2))

    def _matmul(self, node: RawNode) -> Tensor:
        return self._fully_connected(node, 1, None)

    def _fully_connected(self, node: RawNode, out_axis: int, bias: Parameter | NDArray[np.floating] | None) -> Tensor:
        view, x = self._view(node, 0), self._map(node, 0)
        if not view.flat and x.height * x.width > 1:
            raise NetworkError(f"{node}: multiplies {x.name} of {x.height} x {x.width} pixels; flatten it first")
        matrix = self._weights(node, 1)
        n_outputs = _shape_of(matrix, node, 2)[out_axis]
        window = Window(x.height, x.width)
        return Pending(
            node, Op.CONV, (x.name,), (1, 1, n_outputs), window=window, matrix=Matrix(matrix, out_axis, bias)
        )

    def _max_pool(self, node: RawNode) -> Tensor:
        return self._pool(node, Op.MAX_POOL)

    def _average_pool(self, node: RawNode) -> Tensor:
        return self._pool(node, Op.AVG_POOL)

    def _pool(self, node: RawNode, op: Op) -> Tensor:
        x = self._map(node, 0)
        kernel_h, kernel_w = node.integers("kernel_shape", ())
        window = node_window(node, x, (kernel_h, kernel_w))
        return Pending(node, op, (x.name,), (*window.output_size(x.height, x.width), x.channels), window=window)

    def _global_average_pool(self, node: RawNode) -> Tensor:
        x = self._map(node, 0)
        return Pending(node, Op.AVG_POOL, (x.name,), (1, 1, x.channels), window=Window(x.height, x.width))

    def _add(self, node: RawNode) -> Tensor:
        left, right = (self._tensors.get(name) for name in node.inputs)
        if isinstance(left, Pending):
            return self._add_bias(node, left, 1)
        if isinstance(right, Pending):
            return self._add_bias(node, right, 0)
        views = self._view(node, 0), self._view(node, 1)
        maps = [self._maps[view.name] for view in views]
        if maps[0].shape != maps[1].shape:
            raise NetworkError(f"{node}: adds shapes {maps[0].shape} and {maps[1].shape}, expected equal ones")
        return Pending(node, Op.ADD, (maps[0].name, maps[1].name), maps[0].shape, views[0].flat or views[1].flat)

    def _add_bias(self, node: RawNode, product: Pending, index: int) -> Tensor:
        """Fold a constant that is added to an unquantised product into the layer's bias."""
        matrix = product.matrix
        if matrix is None or matrix.bias is not None or product.relu:
            raise NetworkError(f"{node}: adds to {product.node} before it is quantised")
        return replace(product, matrix=replace(matrix, bias=self._bias(node, index)))

    def _relu(self, node: RawNode) -> Tensor:
        source = self._tensors.get(node.inputs[0])
        if isinstance(source, Pending):
            return replace(source, relu=True)
        view = self._view(node, 0)
        return Pending(node, Op.RELU, (view.name,), self._maps[view.name].shape, view.flat)

    def _flatten(self, node: RawNode) -> Tensor:
        view = self._view(node, 0)
        if not self._is_flattening(node):
            raise NetworkError(f"{node}: only flattening to (batch, all the rest) is supported")
        return replace(view, flat=True)

    def _is_flattening(self, node: RawNode) -> bool:
        match node.operator:
            case "Flatten":
                return node.integer("axis", 1) in (1, -3)
            case "Reshape":
                return self._constant(node, 1).size == 2
            case _:
                axes = self._constant(node, 1).tolist() if _has_input(node, 1) else node.integers("axes", ())
                return {axis % 4 for axis in axes} == {2, 3}

    def _same(self, node: RawNode) -> Tensor:
        return self._view(node, 0)

    # -- from a pending result to a layer ----------------------------------------------------------------------------

    def _finish(self, pending: Pending, tensor: str, quantization: Quantization) -> View:
        """Make the layer of a pending result, now that its quantisation is known."""
        clips = quantization.zero_point == quantization.minimum
        if pending.op is Op.RELU and clips and self._maps[pending.inputs[0]].quantization == quantization:
            return View(pending.inputs[0], pending.flat)
        if pending.op is Op.MAX_POOL and self._maps[pending.inputs[0]].quantization != quantization:
            raise NetworkError(f"{pending.node}: a maximum pool must keep its input's quantisation")
        if not pending.relu or clips:
            name = self._add_map(tensor, pending.shape, quantization)
            self._add_layer(pending, pending.node.name, name, self._weights_of(pending, quantization))
            return View(name, pending.flat)
        before = self._add_map(f"{tensor}_before_relu", pending.shape, quantization)
        self._add_layer(pending, pending.node.name, before, self._weights_of(pending, quantization))
        name = self._add_map(tensor, pending.shape, quantization)
        relu = Pending(pending.node, Op.RELU, (before,), pending.shape)
        self._add_layer(relu, f"{pending.node.name}_relu", name, None)
        return View(name, pending.flat)

    def _add_layer(self, pending: Pending, name: str, output: str, weights: Weights | None) -> None:
        unique = name if all(layer.name != name for layer in self._layers) else output
        self._layers.append(Layer(unique, pending.op, pending.inputs, output, pending.window, weights))

    def _add_map(self, tensor: str, shape: tuple[int, int, int], quantization: Quantization) -> str:
        name = tensor.removesuffix(_QUANTIZER_SUFFIX)
        if name in self._maps:
            raise NetworkError(f"tensor {name} is quantised more than once")
        self._maps[name] = FeatureMap(name, *shape, quantization)
        return name

    def _weights_of(self, pending: Pending, quantization: Quantization) -> Weights | None:
        matrix = pending.matrix
        if matrix is None:
            return None
        x = self._maps[pending.inputs[0]]
        if x.quantization.dtype != quantization.dtype:
            raise NetworkError(f"{pending.node}: input is {x.quantization.dtype}, output {quantization.dtype}")
        scale = scale_per_output(matrix.parameter, matrix.out_axis, pending.node)
        bias = integer_bias(matrix.bias, np.float32(x.quantization.scale) * scale, pending.node)
        if matrix.parameter.values.ndim == 4:
            return conv_weights(matrix.parameter, bias, pending.node)
        return matrix_weights(matrix.parameter, x, bias, pending.node, matrix.out_axis)

    # -- what an input of a node stands for ----------------------------------------------------------------------------

    def _view(self, node: RawNode, index: int) -> View:
        name = node.inputs[index]
        tensor = self._tensors.get(name)
        if isinstance(tensor, View):
            return tensor
        what = "a constant" if tensor is None or isinstance(tensor, Parameter) else "not quantised"
        raise NetworkError(f"{node}: its input {name} is {what}; expected a quantised activation")

    def _map(self, node: RawNode, index: int) -> FeatureMap:
        return self._maps[self._view(node, index).name]

    def _weights(self, node: RawNode, index: int) -> Parameter:
        tensor = self._tensors.get(node.inputs[index])
        if not isinstance(tensor, Parameter):
            raise NetworkError(f"{node}: its input {node.inputs[index]} is not a quantised constant")
        return tensor

    def _bias(self, node: RawNode, index: int) -> Parameter | NDArray[np.floating] | None:
        if not _has_input(node, index):
            return None
        tensor = self._tensors.get(node.inputs[index])
        return tensor if isinstance(tensor, Parameter) else self._constant(node, index).astype(np.float64)

    def _constant(self, node: RawNode, index: int) -> NDArray[np.generic]:
        name = node.inputs[index]
        if name not in self._model.constants:
            raise NetworkError(f"{node}: its input {name} must be a constant")
        return self._model.constants[name]


def _image_shape(model: RawModel) -> tuple[int, int, int]:
    """Return (height, width, channels) of the graph's input, (batch, channels[, height, width]) in ONNX."""
    shape = model.input_shape
    rest = shape[1:]
    if len(shape) == 4 and None not in rest:
        channels, height, width = (size or 0 for size in rest)
        return height, width, channels
    if len(shape) == 2 and rest[0] is not None:
        return 1, 1, rest[0]
    raise NetworkError(
        f"the input {model.input} has shape {list(shape)}, expected (batch, channels, height, width) "
        "with a fixed size; export the model for one image size"
    )


def _shape_of(parameter: Parameter, node: RawNode, n_dimensions: int) -> tuple[int, ...]:
    if parameter.values.ndim != n_dimensions:
        raise NetworkError(f"{node}: weights of shape {parameter.values.shape}, expected {n_dimensions} dimensions")
    return parameter.values.shape


def _has_input(node: RawNode, index: int) -> bool:
    return len(node.inputs) > index and bool(node.inputs[index])
