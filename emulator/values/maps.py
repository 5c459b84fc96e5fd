"""The feature maps of one rank: one buffer each, written by whoever makes or receives a piece, read by all consumers.

Actors of a rank share the buffers, so that a pixel which ten crossbars read is stored once. That each of them may read
what it reads is checked once, from the program: its channels must bring every column and channel that it needs.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emulator.errors import ProgramError
from emulator.memory import aligned_zeros
from emulator.network.geometry import Span, input_channels, kernel_runs, unrolled
from emulator.network.graph import FeatureMap
from emulator.program.dataflow import Actor, Channel, Program, ProgramLayer
from emulator.values.operands import as_slice, carried_map, carries_sums, made_columns
from traces.schema import ActorKind

_ELEMENTWISE = (ActorKind.ADD, ActorKind.RELU, ActorKind.STORE)


@dataclass(frozen=True, slots=True, eq=False)
class MapBuffer:
    """A feature map with room for padding around it.

    Attributes:
        buffer: (padded height, padded width, channels), contiguous; the padding holds the zero point.
        inside: the part of it without padding.
        top: rows of padding above.
        left: columns of padding on the left.
    """

    buffer: NDArray[Any]
    inside: NDArray[Any]
    top: int
    left: int


class Maps:
    """The feature maps that the actors of one rank make or read.

    Args:
        program: the program.
        actors: the rank's actors.
    """

    def __init__(self, program: Program, actors: Sequence[Actor]) -> None:
        sides: dict[FeatureMap, list[int]] = {}
        for feature_map, padding in _uses(program, actors):
            known = sides.setdefault(feature_map, [0, 0, 0, 0])
            sides[feature_map] = [max(pair) for pair in zip(known, padding, strict=True)]
        self._buffers = {feature_map: _allocate(feature_map, padding) for feature_map, padding in sides.items()}

    def __getitem__(self, feature_map: FeatureMap) -> MapBuffer:
        return self._buffers[feature_map]


def _uses(program: Program, actors: Sequence[Actor]) -> Iterable[tuple[FeatureMap, tuple[int, int, int, int]]]:
    """Yield the feature maps that actors make or read, and the padding (top, left, bottom, right) that each wants."""
    none = (0, 0, 0, 0)
    for actor in actors:
        if actor.layer_id < 0:
            yield (program.input if actor.kind is ActorKind.INPUT else program.output), none
            continue
        layer = program.layers[actor.layer_id]
        if actor.kind is ActorKind.MVM:
            yield layer.inputs[0], _padding(layer)
        elif actor.kind is not ActorKind.REDUCE:
            yield from ((source, none) for source in layer.inputs)
        if actor.is_root:
            yield layer.output, none


def _padding(layer: ProgramLayer) -> tuple[int, int, int, int]:
    """Return a convolution's padding, (top, left, bottom, right).

    Where several pixels are made at once and their number does not divide the width, the last ones need more of it.
    """
    window = layer.window
    assert window is not None
    wide = unrolled(window, layer.pixels_per_mvm)
    n_groups = -(-layer.output.width // layer.pixels_per_mvm)
    reached = (n_groups - 1) * wide.stride_w + wide.kernel_w - window.pad_left - layer.inputs[0].width
    return window.pad_top, window.pad_left, window.pad_bottom, max(window.pad_right, reached)


def _allocate(feature_map: FeatureMap, padding: Sequence[int]) -> MapBuffer:
    top, left, bottom, right = padding
    height, width, channels = feature_map.shape
    quantization = feature_map.quantization
    shape = (top + height + bottom, left + width + right, channels)
    buffer = aligned_zeros(shape, quantization.dtype)
    buffer[...] = quantization.zero_point
    return MapBuffer(buffer, buffer[top : top + height, left : left + width], top, left)


class Piece:
    """Some columns and channels of a feature map in a rank's buffer."""

    def __init__(self, source: MapBuffer, columns: NDArray[np.intp], channels: Span) -> None:
        self._inside = source.inside
        self._at = slice(None), as_slice(columns), slice(channels.start, channels.end)

    def take(self) -> NDArray[Any]:
        """Return the piece, (height, columns, channels); a view where its columns are evenly spaced."""
        taken: NDArray[Any] = self._inside[self._at]
        return taken

    def put(self, values: NDArray[Any]) -> None:
        """Lay the piece where it belongs."""
        self._inside[self._at] = values


def carried_piece(maps: Maps, program: Program, channel: Channel) -> Piece:
    """Return the part of a feature map that travels on a channel."""
    columns = made_columns(program.actors[channel.producer], channel.tokens)
    return Piece(maps[carried_map(program, channel)], columns, channel.carries)


def made_piece(maps: Maps, program: Program, actor: Actor) -> Piece:
    """Return the part of a feature map that an actor makes: the network's input, or a part of its layer's output."""
    feature_map = program.input if actor.layer_id < 0 else program.layers[actor.layer_id].output
    return Piece(maps[feature_map], made_columns(actor), actor.columns)


def check_operands(program: Program, actor: Actor, into: Sequence[Channel]) -> None:
    """Check that an actor's channels bring all that it reads of its feature maps.

    Raises:
        ProgramError: they do not; names the actor, the operand and what is missing.
    """
    arriving: dict[int, NDArray[np.bool_]] = {}
    for channel in into:
        producer = program.actors[channel.producer]
        if carries_sums(producer):
            return
        source = carried_map(program, channel)
        here = arriving.setdefault(channel.operand, np.zeros((source.width, source.channels), bool))
        here[made_columns(producer, channel.tokens), channel.carries.start : channel.carries.end] = True
    for operand, here in arriving.items():
        missing = np.argwhere(_read(program, actor, here.shape) & ~here)
        if len(missing):
            raise ProgramError(
                f"{actor.name}: no channel brings column {missing[0][0]}, channel {missing[0][1]} of operand {operand} "
                f"({len(missing)} of {here.size} missing)"
            )


def _read(program: Program, actor: Actor, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Tell which (column, channel) of its operands an actor reads."""
    width, n_channels = shape
    reads = np.zeros(shape, bool)
    if actor.layer_id < 0:
        reads[:] = True
        return reads
    layer, made = program.layers[actor.layer_id], made_columns(actor)
    if actor.kind in _ELEMENTWISE or layer.window is None:
        reads[made] = True
        return reads
    n_pixels = layer.pixels_per_mvm
    window = unrolled(layer.window, n_pixels)
    origins = np.unique(made // n_pixels) * window.stride_w - window.pad_left
    for column, channels in _taps(actor, layer, window.kernel_w, n_channels):
        at = origins + column
        reads[at[(at >= 0) & (at < width)], channels.start : channels.end] = True
    return reads


def _taps(actor: Actor, layer: ProgramLayer, kernel_w: int, n_channels: int) -> Iterable[tuple[int, Span]]:
    """Yield each column of the kernel that an actor uses with the input channels that it reads there."""
    if actor.kind is not ActorKind.MVM:
        yield from ((column, Span(0, n_channels)) for column in range(kernel_w))
        return
    assert layer.window is not None
    for _, run in kernel_runs(actor.rows, unrolled(layer.window, layer.pixels_per_mvm), n_channels):
        for column in range(run.start // n_channels, (run.end - 1) // n_channels + 1):
            span = run & Span(column * n_channels, (column + 1) * n_channels)
            yield column, input_channels(Span(span.start, span.end), n_channels)
