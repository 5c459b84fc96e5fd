"""How far ADCs must reach: the largest sums that calibration images, as the DACs give them, make in exact crossbars."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from emulator.chip.ima import Ima
from emulator.digital.quantization import Quantized
from emulator.digital.window import patches
from emulator.mapping.mapping import Mapping
from emulator.network.geometry import Span, unrolled
from emulator.network.reference import run_reference
from emulator.program.dataflow import Actor, Program, ProgramLayer
from emulator.values.crossbars import LARGEST_INPUT, coding_of, dac_of
from emulator.values.weights import weight_matrix
from traces.schema import ActorKind

Real = NDArray[np.float64]

#: So many images are looked at, and fewer of a large network: so many multiply-accumulates take some five seconds.
MAX_CALIBRATION_IMAGES = 128
_MAX_CALIBRATION_MACS = 20_000_000_000

#: Sums of integers are exact in float32 up to here.
_FLOAT32_EXACT = 2**24
_LARGEST_DIGIT = 255


def needs_calibration(ima: Ima) -> bool:
    """Tell whether the ranges of the chip's ADCs come from data."""
    return ima.analog.adc is not None and ima.analog.adc.range != "fixed"


def calibrate(mapping: Mapping, program: Program, images: Iterable[Quantized]) -> dict[int, Real]:
    """Return the largest absolute sum of every column of every crossbar, by the id of its MVM actor.

    Args:
        mapping: has the network and its weights.
        program: has the crossbars.
        images: quantised images (height, width, channels), of which the first ones are used: at most
            ``MAX_CALIBRATION_IMAGES``.

    Returns:
        float64, (n_slices, columns), in units of input times digit. With ranges per layer all columns of a slice have
        the layer's largest sum.
    """
    ima = mapping.chip.cluster.ima
    blocks = [_LayerBlocks(mapping, program, layer_id) for layer_id in range(len(program.layers))]
    n_affordable = max(1, _MAX_CALIBRATION_MACS // max(1, mapping.network.total_macs))
    for _, image in zip(range(min(MAX_CALIBRATION_IMAGES, n_affordable)), images, strict=False):
        maps = run_reference(mapping.network, image)
        for layer_blocks in blocks:
            layer_blocks.see(maps)
    per_layer = ima.analog.adc is not None and ima.analog.adc.range == "per_layer"
    return {actor_id: sums for layer_blocks in blocks for actor_id, sums in layer_blocks.largest(per_layer=per_layer)}


class _LayerBlocks:
    """The largest sums seen in the blocks of one layer; copies share them."""

    def __init__(self, mapping: Mapping, program: Program, layer_id: int) -> None:
        self._layer = program.layers[layer_id]
        self._actors = [actor for actor in program.actors if actor.kind is ActorKind.MVM and actor.layer_id == layer_id]
        self._digits: dict[tuple[Span, Span], Real] = {}
        self._largest: dict[tuple[Span, Span], Real] = {}
        if not self._actors:
            return
        ima = mapping.chip.cluster.ima
        matrix, coding = weight_matrix(mapping.layers[layer_id]), coding_of(ima)
        self._dac = dac_of(ima, self._layer.inputs[0].quantization.dtype)
        for actor in self._actors:
            block = matrix[actor.columns.start : actor.columns.end, actor.rows.start : actor.rows.end].T
            digits = coding.digits(block)
            exact_in_32_bits = len(block) * max(LARGEST_INPUT.values()) * _LARGEST_DIGIT < _FLOAT32_EXACT
            self._digits[_key(actor)] = digits.astype(np.float32 if exact_in_32_bits else np.float64)
            self._largest[_key(actor)] = np.zeros((len(digits), block.shape[1]))

    def see(self, maps: dict[str, Quantized]) -> None:
        """Take the feature maps of an image into account."""
        if not self._actors:
            return
        inputs = _inputs(self._layer, maps[self._layer.inputs[0].name])
        if self._dac.size:
            inputs = self._dac[inputs.view(np.uint8)]
        for (rows, columns), digits in self._digits.items():
            sums = inputs[:, rows.start : rows.end].astype(digits.dtype) @ digits
            largest = self._largest[rows, columns]
            np.maximum(largest, np.abs(sums).max(axis=1), out=largest)

    def largest(self, *, per_layer: bool) -> Iterator[tuple[int, Real]]:
        """Yield actors with the largest sums of their columns."""
        if per_layer and self._actors:
            of_slices = np.max([sums.max(axis=1) for sums in self._largest.values()], axis=0)
            for sums in self._largest.values():
                sums[:] = of_slices[:, np.newaxis]
        for actor in self._actors:
            yield actor.actor_id, self._largest[_key(actor)]


def _key(actor: Actor) -> tuple[Span, Span]:
    return actor.rows, actor.columns


def _inputs(layer: ProgramLayer, ifm: Quantized) -> Quantized:
    """Return what the MVMs of a layer read, (positions, rows of the weight matrix)."""
    assert layer.window is not None
    window = unrolled(layer.window, layer.pixels_per_mvm)
    n_groups = -(-layer.output.width // layer.pixels_per_mvm)
    reached = (n_groups - 1) * window.stride_w + window.kernel_w - window.pad_left - layer.inputs[0].width
    sides = (window.pad_top, window.pad_bottom), (window.pad_left, max(window.pad_right, reached)), (0, 0)
    padded = np.pad(ifm, sides, constant_values=layer.inputs[0].quantization.zero_point)
    view = patches(padded, window)[: layer.output.height, :n_groups]
    return view.reshape(layer.output.height * n_groups, -1)
