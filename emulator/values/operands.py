"""What actors make and channels carry: which columns of which feature map."""

from collections.abc import Sequence

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
