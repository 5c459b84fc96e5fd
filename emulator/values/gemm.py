"""Exact products of 8-bit inputs with the 8-bit weights of a crossbar, on whatever the processor does best.

- "integer": onnxruntime's MatMulInteger, u8 x s8 into int32, with the processor's integer dot products (VNNI, AMX).
  Some processors without them saturate, so it is tried out on the largest products before it is used.
- "float": MatMul in float32, exact up to 2**24, in float64 beyond. Exact on every processor. (onnxruntime's is a third
  faster than OpenBLAS for matrices as small as a crossbar, for it packs constant weights once.)

Both give the same integers. Inputs are unsigned; signed ones arrive with 128 added, and ``Product.excess`` is what that
adds to each column's sum.
"""

from functools import cache
from typing import Any, Literal, Protocol

import numpy as np
from numba import njit
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnxruntime import GraphOptimizationLevel, InferenceSession, SessionOptions

from emulator.memory import aligned_zeros

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
        self._inputs = aligned_zeros(n_bytes, np.uint8)
        self._sums = aligned_zeros(-(-n_bytes // 8), np.float64)
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
            self._real = aligned_zeros(len(self._inputs), np.float64)
        return self._real.view(dtype)[: n_positions * n_rows].reshape(n_positions, n_rows)


class Product(Protocol):
    """Multiplies the inputs that lie in its scratch memory with its weights."""

    def multiply(self, n_positions: int) -> NDArray[Any]:
        """Return ``inputs @ weights``, (n_positions, columns), integers in some type; valid until the next product."""
        ...


class IntegerProduct:
    """``MatMulInteger`` of onnxruntime."""

    def __init__(self, weights: NDArray[np.int8], scratch: Scratch) -> None:
        assert len(weights) <= MAX_ROWS, weights.shape
        self._bound = _BoundSession("MatMulInteger", weights, np.int32)
        self._shape, self._scratch = weights.shape, scratch

    def multiply(self, n_positions: int) -> NDArray[Any]:
        """Return ``inputs @ weights`` as int32."""
        inputs = self._scratch.inputs(n_positions, self._shape[0])
        return self._bound.run(inputs, self._scratch.sums(n_positions, self._shape[1], np.int32))


class FloatProduct:
    """``MatMul`` of onnxruntime on integers written as real numbers."""

    def __init__(self, weights: NDArray[np.int8], scratch: Scratch) -> None:
        self._dtype = np.float32 if len(weights) * LARGEST_PRODUCT < FLOAT32_EXACT else np.float64
        self._bound = _BoundSession("MatMul", weights.astype(self._dtype), self._dtype)
        self._shape, self._scratch = weights.shape, scratch

    def multiply(self, n_positions: int) -> NDArray[Any]:
        """Return ``inputs @ weights`` as integers in float32 or float64."""
        n_rows, n_columns = self._shape
        inputs = self._scratch.inputs(n_positions, n_rows)
        real = self._scratch.real_inputs(n_positions, n_rows, self._dtype)
        _convert(inputs.reshape(-1), real.reshape(-1))
        return self._bound.run(real, self._scratch.sums(n_positions, n_columns, self._dtype))


def make_product(kind: GemmKind, weights: NDArray[np.int8], scratch: Scratch) -> Product:
    """Return what multiplies with ``weights``, (rows, columns); "auto" takes integers where they are exact."""
    if kind == "integer" or (kind == "auto" and integers_are_exact()):
        return IntegerProduct(weights, scratch)
    return FloatProduct(weights, scratch)


@njit(cache=True, nogil=True)
def _convert(integers: NDArray[np.uint8], real: NDArray[Any]) -> None:
    """Write integers as real numbers, with the widest vectors that the processor has."""
    for i in range(len(integers)):
        real[i] = integers[i]


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


class _BoundSession:
    """A session of one operator with constant weights, bound to memory: no array is made when it runs."""

    def __init__(self, operator: str, weights: NDArray[Any], sum_dtype: type[np.generic]) -> None:
        input_dtype = np.uint8 if operator == "MatMulInteger" else sum_dtype
        n_rows, n_columns = weights.shape
        graph = helper.make_graph(
            [helper.make_node(operator, ["x", "w"], ["y"])],
            "crossbar",
            [helper.make_tensor_value_info("x", _tensor_type(input_dtype), [None, n_rows])],
            [helper.make_tensor_value_info("y", _tensor_type(sum_dtype), [None, n_columns])],
            [numpy_helper.from_array(weights, "w")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
        options = SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.graph_optimization_level = GraphOptimizationLevel.ORT_DISABLE_ALL  # there is nothing to optimise
        self._session = InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        self._bindings: dict[int, Any] = {}  # by number of positions

    def run(self, inputs: NDArray[Any], sums: NDArray[Any]) -> NDArray[Any]:
        """Multiply; the arrays must lie where they lay for the same number of positions before."""
        n_positions = len(inputs)
        if n_positions not in self._bindings:
            binding = self._session.io_binding()
            binding.bind_input("x", "cpu", 0, inputs.dtype, inputs.shape, inputs.ctypes.data)
            binding.bind_output("y", "cpu", 0, sums.dtype, sums.shape, sums.ctypes.data)
            self._bindings[n_positions] = binding
        self._session.run_with_iobinding(self._bindings[n_positions])
        return sums


def _tensor_type(dtype: type[np.generic]) -> int:
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
