"""An ONNX model without ONNX: nodes with plain attributes and constants as arrays, so one file needs the library."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class RawNode:
    """One ONNX node. ``attributes`` holds ints, floats, strings and lists of them."""

    name: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    def integers(self, attribute: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """Return a list attribute, or the default where it is absent."""
        return tuple(int(value) for value in self.attributes.get(attribute, default))

    def integer(self, attribute: str, default: int) -> int:
        """Return an integer attribute, or the default where it is absent."""
        return int(self.attributes.get(attribute, default))

    def __str__(self) -> str:
        return f"{self.name} ({self.operator})"


@dataclass(frozen=True, slots=True, eq=False)
class RawModel:
    """An ONNX graph with one input and one output.

    Attributes:
        name: the file's name.
        nodes: in topological order, constants taken out.
        constants: initializers and Constant nodes by name.
        input: name of the graph's input.
        input_shape: its dimensions; None where the model leaves one open.
        output: name of the graph's output.
    """

    name: str
    nodes: tuple[RawNode, ...]
    constants: Mapping[str, NDArray[np.generic]]
    input: str
    input_shape: tuple[int | None, ...]
    output: str
