"""An actor's operands: feature maps put together from the tiles and channels that arrive on its channels.

Copies of a layer each make some columns of the output, so an actor may need columns from several producers. Pieces
travel with the columns of one producer side by side; here they are laid out again where they belong.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emulator.network.geometry import Span
from emulator.network.graph import FeatureMap
from emulator.program.dataflow import Actor, Channel, Program
from traces.schema import ActorKind

Array = NDArray[Any]
Columns = slice | NDArray[np.intp]


def made_columns(actor: Actor, firings: Sequence[int] | None = None) -> NDArray[np.intp]:
    """Return the columns of its feature map that an actor makes, in order; in the given firings only, or in all."""
    tiling = actor.tiling
    tiles = actor.share.tiles(tiling.n_tiles)
    spans = [tiling.span(tile) for tile in (tiles if firings is None else [tiles[firing] for firing in firings])]
    return np.concatenate([np.arange(span.start, span.end) for span in spans])


def as_slice(columns: NDArray[np.intp]) -> Columns:
    """Write evenly spaced columns as a slice, which numpy needs not copy for."""
    steps = np.diff(columns)
    step = int(steps[0]) if len(steps) else 1
    return slice(int(columns[0]), int(columns[-1]) + 1, step) if len(columns) and (steps == step).all() else columns


def carried_map(program: Program, channel: Channel) -> FeatureMap:
    """Return the feature map of which a channel carries a part."""
    producer = program.actors[channel.producer]
    if producer.layer_id < 0:
        return program.input
    layer = program.layers[producer.layer_id]
    return layer.inputs[channel.operand] if producer.kind is ActorKind.STORE else layer.output


def carries_sums(producer: Actor) -> bool:
    """Tell whether an actor makes partial sums rather than a part of a feature map."""
    return producer.kind is ActorKind.MVM or (producer.kind is ActorKind.REDUCE and not producer.is_root)


class Outlet:
    """Cuts what a channel carries out of its producer's result."""

    def __init__(self, program: Program, channel: Channel) -> None:
        producer = program.actors[channel.producer]
        own = producer.columns.start
        self._channels = slice(channel.carries.start - own, channel.carries.end - own)
        self._is_sum = carries_sums(producer)
        self._columns: Columns | None = None
        if channel.n_tokens < producer.n_firings:
            made = made_columns(producer)
            self._columns = as_slice(np.searchsorted(made, made_columns(producer, channel.tokens)))

    def take(self, result: Array) -> Array:
        """Return the part of ``result`` that travels."""
        if self._is_sum or self._columns is None:
            return result[..., self._channels]
        return result[:, self._columns, self._channels]


class Inlet:
    """Puts one operand of an actor together.

    Args:
        program: the program.
        channels: the channels that bring the operand.
        needed: the channels of the feature map that the actor reads.
        columns: lay out only these columns of it, side by side; all of it by default. What no channel brings is padding
            or never read.
        padding: columns and rows around it, ((top, bottom), (left, right)), filled with the feature map's zero point.
    """

    def __init__(
        self, program: Program, channels: Sequence[Channel], needed: Span, *, columns: NDArray[np.intp] | None = None,
        padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0)),
    ) -> None:  # fmt: skip
        source = carried_map(program, channels[0])
        ((top, bottom), (left, right)) = padding
        width = source.width if columns is None else len(columns)
        shape = (top + source.height + bottom, left + width + right, len(needed))
        quantization = source.quantization
        self._buffer = np.full(shape, quantization.zero_point, quantization.dtype)
        self._inside = self._buffer[top : top + source.height, left : left + width]
        self._places = [_place(program, channel, needed, columns) for channel in channels]
        is_padded = any((top, bottom, left, right))
        self._is_whole = len(channels) == 1 and not is_padded and self._is_everything(program, channels[0], width)

    def _is_everything(self, program: Program, channel: Channel, width: int) -> bool:
        """Tell whether a channel's piece is the whole operand as it stands."""
        n_arriving = len(made_columns(program.actors[channel.producer], channel.tokens))
        everything = (slice(0, width, 1), slice(0, width, 1), slice(0, self._buffer.shape[2]))
        return n_arriving == width and self._places[0] == everything

    def put_together(self, pieces: Sequence[Array]) -> Array:
        """Return the operand, (height, width, channels) with its padding; valid until the next call."""
        if self._is_whole:
            return pieces[0]
        for (arriving, laid_out, channels), piece in zip(self._places, pieces, strict=True):
            self._inside[:, laid_out, channels] = piece[:, arriving]
        return self._buffer


def _place(
    program: Program, channel: Channel, needed: Span, columns: NDArray[np.intp] | None
) -> tuple[Columns, Columns, slice]:
    """Tell which columns of a channel's piece are used, and where they and its channels go."""
    arriving = made_columns(program.actors[channel.producer], channel.tokens)
    if columns is None:
        columns = np.arange(carried_map(program, channel).width)
    used = np.flatnonzero(np.isin(arriving, columns))
    place = slice(channel.carries.start - needed.start, channel.carries.end - needed.start)
    return as_slice(used), as_slice(np.searchsorted(columns, arriving[used])), place
