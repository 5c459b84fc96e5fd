"""The network as the rest of the emulator sees it: quantised layers over feature maps, in topological order.

Layout conventions, everywhere in the emulator: a feature map is ``(height, width, channels)`` ("HWC"), a weight tensor
is ``(c_out, kernel_h, kernel_w, c_in)``, so that a flattened kernel runs in the order ``(kernel_h, kernel_w, c_in)``.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from emulator.digital.quantization import Quantization
from emulator.digital.window import Window

__all__ = ["FeatureMap", "Layer", "Network", "Op", "Quantization", "Weights", "Window"]


class Op(StrEnum):
    """What a layer computes. A fully connected layer is a ``conv`` whose kernel covers its whole input."""

    CONV = "conv"
    MAX_POOL = "max_pool"
    AVG_POOL = "avg_pool"
    ADD = "add"
    RELU = "relu"


@dataclass(frozen=True, slots=True)
class FeatureMap:
    """A named activation tensor of one image."""

    name: str
    height: int
    width: int
    channels: int
    quantization: Quantization

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return self.height, self.width, self.channels


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """Quantised parameters of a convolution.

    Attributes:
        values: int8, (c_out, kernel_h, kernel_w, c_in), symmetric (zero point 0).
        scale: float32, (c_out,).
        bias: int32, (c_out,), in units of ``input scale * scale[c]``, *without* the input's zero-point correction.
    """

    values: NDArray[np.int8]
    scale: NDArray[np.float32]
    bias: NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One node of the network. ``inputs`` and ``output`` are names of feature maps."""

    name: str
    op: Op
    inputs: tuple[str, ...]
    output: str
    window: Window | None = None
    weights: Weights | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A directed acyclic graph of layers, in topological order, with one input and one output feature map."""

    name: str
    feature_maps: dict[str, FeatureMap]
    layers: tuple[Layer, ...]
    input: str
    output: str

    def macs(self, layer: Layer) -> int:
        """Multiply-accumulates of ``layer`` for one image, padding included; zero for digital layers."""
        if layer.weights is None:
            return 0
        out = self.feature_maps[layer.output]
        return out.height * out.width * int(layer.weights.values.size)

    @property
    def total_macs(self) -> int:
        """Multiply-accumulates of the whole network for one image."""
        return sum(self.macs(layer) for layer in self.layers)
