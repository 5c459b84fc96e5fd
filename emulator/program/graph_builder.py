"""Collects actors and channels one by one and knows who makes which feature map in which tiles."""

from dataclasses import dataclass

from emulator.network.geometry import Span
from emulator.network.graph import FeatureMap
from emulator.program.dataflow import OUTPUT_SLOTS, Actor, Channel
from emulator.program.durations import ACTIVATION_BYTES
from emulator.program.tiles import Consumption, Reach, Share, Tiling, consume
from traces.schema import ActorKind, Resource

NO_SPAN = Span(0, 0)


@dataclass(frozen=True, slots=True)
class Block:
    """Where an actor stands in its layer: its rows and numbers (see ``Actor``)."""

    rows: Span = NO_SPAN
    row_block: int = 0
    column_block: int = 0
    stage: int = 0
    is_root: bool = True


@dataclass(frozen=True, slots=True)
class Work:
    """What the firings of an actor cost.

    Attributes:
        resource: what they occupy.
        durations_ps: time of each.
        n_jobs: MVMs per image.
        core_cycles: core cycles per image.
        output_token_bytes: largest token.
    """

    resource: Resource
    durations_ps: tuple[int, ...]
    n_jobs: int
    core_cycles: int
    output_token_bytes: int


@dataclass(frozen=True, slots=True)
class Sources:
    """The actors that together make a feature map, and its tiling."""

    feature_map: FeatureMap
    tiling: Tiling
    actors: tuple[Actor, ...]


class GraphBuilder:
    """The actors and channels so far; what is in the HBM waits there as a whole image."""

    def __init__(self, hbm_site: int) -> None:
        self._hbm_site = hbm_site
        self.actors: list[Actor] = []
        self.channels: list[Channel] = []

    def add(
        self, kind: ActorKind, name: str, layer_id: int, site: int, *, tiling: Tiling, share: Share, columns: Span,
        work: Work, block: Block,
    ) -> Actor:  # fmt: skip
        """Add an actor."""
        actor = Actor(
            actor_id=len(self.actors), kind=kind, name=name, layer_id=layer_id, tiling=tiling, share=share, site=site,
            resource=work.resource, columns=columns, rows=block.rows, row_block=block.row_block,
            column_block=block.column_block, stage=block.stage, durations_ps=work.durations_ps, n_jobs=work.n_jobs,
            core_cycles=work.core_cycles, is_root=block.is_root, output_token_bytes=work.output_token_bytes,
        )  # fmt: skip
        self.actors.append(actor)
        return actor

    def feed(self, consumer: Actor, sources: Sources, channels: Span, reach: Reach, operand: int = 0) -> None:
        """Connect every actor that makes part of what ``consumer`` reads of a feature map to it.

        Args:
            consumer: the actor that reads.
            sources: the makers of the feature map.
            channels: the channels of the feature map that it reads.
            reach: the columns that it reads.
            operand: which input of the consumer's layer this is.
        """
        height, tiling = sources.feature_map.height, sources.tiling
        for source in sources.actors:
            carries = source.columns & channels
            if not len(carries):
                continue
            taken = consume(tiling, source.share, consumer.tiling, consumer.share, reach)
            if taken is not None:
                pixels = [height * len(tiling.span(tile)) for tile in taken.tiles]
                sizes = tuple(n * len(carries) * ACTIVATION_BYTES for n in pixels)
                self.connect(source, consumer, taken, sizes, carries=carries, operand=operand)

    def connect(
        self, producer: Actor, consumer: Actor, taken: Consumption, token_bytes: tuple[int, ...], *, carries: Span,
        operand: int = 0,
    ) -> None:  # fmt: skip
        """Add a channel with room for a double buffer.

        Copies that make strips work on several places of the image at once, while others want its columns in order:
        where either end makes a strip there is room for what it takes of one image, too.
        """
        is_strip = any(end.share.is_strip and end.share.count > 1 for end in (producer, consumer))
        ahead = len(taken.tokens) if is_strip else 0
        self.channels.append(
            Channel(
                channel_id=len(self.channels),
                producer=producer.actor_id,
                consumer=consumer.actor_id,
                operand=operand,
                carries=carries,
                tokens=taken.tokens,
                token_bytes=token_bytes,
                need=taken.need,
                freed=taken.freed,
                capacity=taken.double_buffer + ahead,
                slots=max(OUTPUT_SLOTS, len(taken.tokens)) if producer.site == self._hbm_site else OUTPUT_SLOTS,
            )
        )
