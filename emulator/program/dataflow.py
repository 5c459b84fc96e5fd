"""The program: a cyclo-static dataflow graph, the hinge between what is mapped and what is emulated.

*Actors* live on sites (a cluster, or the HBM behind the last cluster) and fire a fixed number of times per image.
Firing ``p`` of an image makes one tile of the actor's output and puts it, as a *token*, on each outgoing *channel*
that lists the firing. A channel's consumer may start its firing ``p`` once ``need[p]`` tokens of the image have
arrived; when it ends, the first ``freed[p]`` tokens are given back as room. Everything starts anew with the next image.

Copies of a layer share the tiles of an image: in turns (copy ``k`` of ``n`` makes ``k``, ``k + n``, ...) or in strips.
"""

from dataclasses import dataclass

from emulator.network.geometry import Span
from emulator.network.graph import FeatureMap, Op, Window
from emulator.program.tiles import Share, Tiling
from traces.schema import ActorKind, Resource

#: Output tokens that a cluster keeps until they are sent: one that leaves and one that is being made.
OUTPUT_SLOTS = 2


@dataclass(frozen=True, slots=True)
class Actor:
    """A piece of work that repeats for every tile.

    Attributes:
        layer_id: index in ``Program.layers``, -1 for the input and the output of the network; a store has its
            addition's.
        tiling: how its output feature map is cut along the width.
        share: which of these tiles it makes, one per firing.
        columns: the channels of the output feature map that this actor makes; for an MVM the columns of the (unrolled)
            weight matrix.
        rows: the rows of the weight matrix that it holds (MVM), else an empty span.
        stage: depth in the reduction tree, 0 for anything else.
        durations_ps: time of each firing of an image.
        n_jobs: MVMs per image.
        core_cycles: cycles per image in which the cores of the cluster work on it.
        is_root: whether its output is the finished (requantised) piece of the layer's output feature map.
        output_token_bytes: largest token, as held in the site's L1.
    """

    actor_id: int
    kind: ActorKind
    name: str
    layer_id: int
    tiling: Tiling
    share: Share
    site: int
    resource: Resource
    columns: Span
    rows: Span
    row_block: int
    column_block: int
    stage: int
    durations_ps: tuple[int, ...]
    n_jobs: int
    core_cycles: int
    is_root: bool
    output_token_bytes: int

    @property
    def n_firings(self) -> int:
        """Firings, and so tokens made, per image."""
        return len(self.durations_ps)


@dataclass(frozen=True, slots=True)
class Channel:
    """A bounded queue of tokens from one actor to another.

    Attributes:
        operand: which input of the consumer's layer it feeds (0, or 0 and 1 of an addition).
        carries: the channels of the producer's feature map that travel.
        tokens: the producer's firings that make a token for this channel, in order.
        token_bytes: size of each token of an image.
        need: tokens of the image that the consumer's firing ``p`` waits for.
        freed: tokens of the image given back by the end of the consumer's firing ``p``.
        capacity: tokens for which the consumer's L1 has room.
        slots: tokens that the producer may have made and not yet sent.
    """

    channel_id: int
    producer: int
    consumer: int
    operand: int
    carries: Span
    tokens: tuple[int, ...]
    token_bytes: tuple[int, ...]
    need: tuple[int, ...]
    freed: tuple[int, ...]
    capacity: int
    slots: int

    @property
    def n_tokens(self) -> int:
        """Tokens per image."""
        return len(self.tokens)


@dataclass(frozen=True, slots=True)
class ProgramLayer:
    """What the planes and the trace need to know about a layer; its weights travel apart from it."""

    name: str
    op: Op
    window: Window | None
    inputs: tuple[FeatureMap, ...]
    output: FeatureMap
    pixels_per_mvm: int
    macs: int
    n_crossbars: int


@dataclass(frozen=True, slots=True)
class Program:
    """A mapped network as actors and channels, in topological order of the actors."""

    name: str
    input: FeatureMap
    output: FeatureMap
    layers: tuple[ProgramLayer, ...]
    actors: tuple[Actor, ...]
    channels: tuple[Channel, ...]
    n_clusters: int

    @property
    def hbm_site(self) -> int:
        """The site of the HBM, one behind the last cluster."""
        return self.n_clusters

    def channels_into(self) -> tuple[tuple[Channel, ...], ...]:
        """Channels by consumer, in channel order."""
        into: list[list[Channel]] = [[] for _ in self.actors]
        for channel in self.channels:
            into[channel.consumer].append(channel)
        return tuple(map(tuple, into))

    def channels_out_of(self) -> tuple[tuple[Channel, ...], ...]:
        """Channels by producer, in channel order."""
        out: list[list[Channel]] = [[] for _ in self.actors]
        for channel in self.channels:
            out[channel.producer].append(channel)
        return tuple(map(tuple, out))
