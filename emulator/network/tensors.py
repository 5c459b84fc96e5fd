"""What a tensor of a QDQ model can stand for while the model is being turned into layers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emulator.network.graph import Op, Window
from emulator.network.parameters import Parameter
from emulator.network.raw_model import RawNode


@dataclass(frozen=True, slots=True)
class Image:
    """The graph's input before its QuantizeLinear."""

    shape: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class View:
    """A finished feature map; ``flat`` after Flatten: its values in a row, in the order (channels, height, width)."""

    name: str
    flat: bool


@dataclass(frozen=True, slots=True, eq=False)
class Matrix:
    """The quantised parameters of a layer in ONNX's layout: a Conv kernel, or a matrix with its output axis."""

    parameter: Parameter
    out_axis: int
    bias: Parameter | NDArray[np.floating] | None


@dataclass(frozen=True, slots=True, eq=False)
class Pending:
    """The real-valued result of a node, waiting for the QuantizeLinear that makes it a feature map."""

    node: RawNode
    op: Op
    inputs: tuple[str, ...]
    shape: tuple[int, int, int]
    flat: bool = False
    window: Window | None = None
    matrix: Matrix | None = None
    relu: bool = False


Tensor = Image | View | Parameter | Pending
