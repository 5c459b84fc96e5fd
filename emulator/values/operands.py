"""What actors make and channels carry: which columns of which feature map."""

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from emulator.network.graph import FeatureMap
from emulator.program.dataflow import Actor, Channel, Program
from traces.schema import ActorKind

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


def carriers(program: Program, owner_of_actor: Mapping[int, int]) -> dict[int, int]:
    """Return which channel's messages bring what each channel that crosses ranks carries, by channel id.

    Row blocks of a layer, and an addition past it, read the same feature map: what the chip sends to each of their
    clusters goes to each rank once. Partial sums go to one consumer anyway.
    """
    first: dict[Hashable, int] = {}
    brought_by: dict[int, int] = {}
    for channel in program.channels:
        producer, rank = program.actors[channel.producer], owner_of_actor[channel.consumer]
        if owner_of_actor[channel.producer] != rank:
            piece: Hashable = channel.channel_id
            if not carries_sums(producer):
                piece = channel.producer, rank, carried_map(program, channel), channel.carries, channel.tokens
            brought_by[channel.channel_id] = first.setdefault(piece, channel.channel_id)
    return brought_by
