"""Exact products of 8-bit inputs with the 8-bit weights of a crossbar, on whatever the processor does best.

- "integer": onnxruntime's MatMulInteger, u8 x s8 into int32, with the processor's integer dot products (VNNI, AMX).
  Some processors without them saturate, so it is tried out on the largest products before it is used.
- "float": BLAS in float32, exact up to 2**24, in float64 beyond. Exact on every processor.

Both give the same integers. Inputs are unsigned; signed ones arrive with 128 added, and ``Product.excess`` is what that
adds to each column's sum.
"""

from functools import cache
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import InferenceSession, SessionOptions

GemmKind = Literal["auto", "integer", "float"]

#: Sums of integers are exact in float32 up to here.
FLOAT32_EXACT = 2**24
#: The largest magnitude of an 8-bit input times that of an 8-bit weight.
LARGEST_PRODUCT = 255 * 128
#: Beyond so many rows 32-bit sums could overflow.
MAX_ROWS = (2**31 - 1) // LARGEST_PRODUCT
#: MatMulInteger is there from this version of ONNX's operators on.
_OPSET = 17
_IR_VERSION = 8


class Scratch:
    """Memory that products share: inputs go in, sums come out, and the next product overwrites both.

    Args:
        n_bytes: the most bytes of inputs, and the most of sums, at a time.
    """

    def __init__(self, n_bytes: int) -> None:
        self._inputs = np.zeros(n_bytes, np.uint8)
        self._sums = np.zeros(-(-n_bytes // 8), np.float64)
        self._real = np.zeros(0, np.float64)

    def inputs(self, n_positions: int, n_rows: int) -> NDArray[np.uint8]:
        """Return the place of a product's inputs, (n_positions, n_rows)."""
        return self._inputs[: n_positions * n_rows].reshape(n_positions, n_rows)

    def sums(self, n_positions: int, n_columns: int, dtype: type[np.generic]) -> NDArray[Any]:
        """Return the place of a product's sums, (n_positions, n_columns)."""
        return self._sums.view(dtype)[: n_positions * n_columns].reshape(n_positions, n_columns)

    def real_inputs(self, n_positions: int, n_rows: int, dtype: type[np.generic]) -> NDArray[Any]:
        """Return room for the inputs as real numbers, (n_positions, n_rows)."""
        if not self._real.size:
            self._real = np.zeros(len(self._inputs), np.float64)
        return self._real.view(dtype)[: n_positions * n_rows].reshape(n_positions, n_rows)


class Product(Protocol):
    """Multiplies the inputs that lie in its scratch memory with its weights."""

    def multiply(self, n_positions: int) -> NDArray[Any]:
        """Return ``inputs @ weights``, (n_positions, columns), integers in some type; valid until the next product."""
        ...


class IntegerProduct:
    """``MatMulInteger`` of onnxruntime with weights packed once."""

    def __init__(self, weights: NDArray[np.int8], scratch: Scratch) -> None:
        assert len(weights) <= MAX_ROWS, weights.shape
        self._session = _session(weights)
        self._shape = weights.shape
        self._scratch = scratch
        self._bindings: dict[int, tuple[Any, NDArray[np.int32]]] = {}

    def multiply(self, n_positions: int) -> NDArray[np.int32]:
        """Return ``inputs @ weights`` as int32."""
        if n_positions not in self._bindings:
            self._bindings[n_positions] = self._bind(n_positions)
        binding, sums = self._bindings[n_positions]
        self._session.run_with_iobinding(binding)
        return sums

    def _bind(self, n_positions: int) -> tuple[Any, NDArray[np.int32]]:
        inputs = self._scratch.inputs(n_positions, self._shape[0])
        sums = self._scratch.sums(n_positions, self._shape[1], np.int32)
        binding = self._session.io_binding()
        binding.bind_input("x", "cpu", 0, np.uint8, inputs.shape, inputs.ctypes.data)
        binding.bind_output("y", "cpu", 0, np.int32, sums.shape, sums.ctypes.data)
        return binding, sums


class FloatProduct:
    """BLAS on integers written as real numbers."""

    def __init__(self, weights: NDArray[np.int8], scratch: Scratch) -> None:
        n_rows, self._n_columns = weights.shape
        self._dtype: type[np.generic] = np.float32 if n_rows * LARGEST_PRODUCT < FLOAT32_EXACT else np.float64
        self._weights = weights.astype(self._dtype)
        self._scratch = scratch

    def multiply(self, n_positions: int) -> NDArray[Any]:
        """Return ``inputs @ weights`` as integers in float32 or float64."""
        n_rows = len(self._weights)
        real = self._scratch.real_inputs(n_positions, n_rows, self._dtype)
        real[...] = self._scratch.inputs(n_positions, n_rows)
        sums = self._scratch.sums(n_positions, self._n_columns, self._dtype)
        return np.matmul(real, self._weights, out=sums)


def make_product(kind: GemmKind, weights: NDArray[np.int8], scratch: Scratch) -> Product:
    """Return what multiplies with ``weights``, (rows, columns); "auto" takes integers where they are exact."""
    if kind == "integer" or (kind == "auto" and integers_are_exact()):
        return IntegerProduct(weights, scratch)
    return FloatProduct(weights, scratch)


@cache
def integers_are_exact() -> bool:
    """Try the largest products on this processor, in shapes that take different paths through the library."""
    for n_rows, n_columns in ((256, 256), (147, 64), (31, 5)):
        weights = np.full((n_rows, n_columns), 127, np.int8)
        weights[:, 1::2] = -128
        weights[::3] += 1
        for n_positions in (1, 3, 64):
            scratch = Scratch(max(n_rows, 4 * n_columns) * n_positions)
            inputs = scratch.inputs(n_positions, n_rows)
            inputs[...] = 255
            inputs[:, ::5] = 254
            if (IntegerProduct(weights, scratch).multiply(n_positions) != inputs.astype(np.int64) @ weights).any():
                return False
    return True


def _session(weights: NDArray[np.int8]) -> InferenceSession:
    """Return a session of one operator; onnxruntime packs constant weights when it is made."""
    n_rows, n_columns = weights.shape
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", "w"], ["y"])],
        "crossbar",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [None, n_rows])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [None, n_columns])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    options = SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
