"""The value plane of one rank: image by image, compute the actors of its sites in the order of the program.

Ranks form a pipeline: while one computes image i, the ranks behind it in the network compute earlier images.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from emulator.network.geometry import Span, input_channels
from emulator.parallel.comm import Comm
from emulator.program.dataflow import Actor, Channel, Program
from emulator.values.exchange import Exchange, Flow, Traffic, flow_tags
from emulator.values.kernels import Array, Kernel, convolution_padding, make_kernel
from emulator.values.operands import Inlet, Outlet, carried_map, carries_sums, made_columns
from emulator.values.weights import ActorWeights
from traces.schema import ActorKind


class ValueSink(Protocol):
    """Where checksums and outputs go."""

    def append(self, table: str, columns: dict[str, NDArray[np.int64]]) -> None:
        """Take a batch of records of table "checksums" (actor, image, crc32)."""

    def output(self, image: int, values: NDArray[np.int64]) -> None:
        """Take the quantised output of the network for one image, flat."""


class ValueExecutor:
    """Computes every feature map piece and partial sum of the actors that live on one rank's sites.

    Args:
        program: the program, complete; only the actors of this rank are set up.
        held: weights of this rank's actors, by actor id.
        owner_of_site: rank of each site, clusters then HBM.
        comm: the ranks.
        images: quantised network input, (n_images, height, width, channels), on the rank that owns the HBM, else None.
        n_images: images in the batch.
        sink: takes checksums and outputs.
    """

    def __init__(
        self, program: Program, held: Mapping[int, ActorWeights], *, owner_of_site: Sequence[int], comm: Comm,
        images: NDArray[np.generic] | None, n_images: int, sink: ValueSink,
    ) -> None:  # fmt: skip
        self._program = program
        self._images = images
        self._n_images = n_images
        self._sink = sink
        owners = _owners(program, owner_of_site)
        self._actors = [actor for actor in program.actors if owners[actor.actor_id] == comm.rank]
        self._into, self._out_of = program.channels_into(), program.channels_out_of()
        self._inlets = {actor.actor_id: self._make_inlets(actor) for actor in self._actors}
        self._outlets = {
            channel.channel_id: Outlet(program, channel)
            for actor in self._actors
            for channel in self._out_of[actor.actor_id]
        }
        self._kernels: dict[int, Kernel] = {
            actor.actor_id: make_kernel(actor, program.layers, held.get(actor.actor_id))
            for actor in self._actors
            if actor.layer_id >= 0
        }
        tags = flow_tags(program.channels, owners)
        self._remote = frozenset(tags)
        outgoing: list[Flow] = []
        incoming: list[Flow] = []
        for channel in program.channels:
            producer, consumer = owners[channel.producer], owners[channel.consumer]
            if producer != consumer and comm.rank in (producer, consumer):
                shape, dtype = _traveling_array(program, channel)
                peer = consumer if producer == comm.rank else producer
                flow = Flow(channel, peer, tags[channel.channel_id], shape, dtype)
                (outgoing if producer == comm.rank else incoming).append(flow)
        self._exchange = Exchange(comm, outgoing, incoming, n_images)

    @property
    def traffic(self) -> Traffic:
        """Messages sent so far."""
        return self._exchange.traffic

    def run(self, on_image: Callable[[int], None] = lambda _: None) -> None:
        """Compute all images; ``on_image`` hears of each that this rank has finished."""
        for image in range(self._n_images):
            self._run_image(image)
            on_image(image)
        self._exchange.finish()

    def _run_image(self, image: int) -> None:
        pieces: dict[int, Array] = {}  # by channel, what its consumer on this rank will read
        crcs: list[tuple[int, int]] = []
        for actor in self._actors:
            into = self._into[actor.actor_id]
            operands = self._collect(actor, into, image, pieces)
            if actor.kind is ActorKind.OUTPUT:
                self._sink.output(image, operands[0].astype(np.int64).ravel())
            else:
                result = self._compute(actor, operands, image)
                if actor.is_root:
                    crcs.append((actor.actor_id, zlib.crc32(np.ascontiguousarray(result).data)))
                self._distribute(actor, result, image, pieces)
            for channel in into:
                if channel.channel_id in self._remote:
                    self._exchange.release(channel.channel_id, image)
        ids, values = np.array(crcs, np.int64).reshape(-1, 2).T
        self._sink.append("checksums", {"actor": ids, "image": np.full_like(ids, image), "crc32": values})

    def _compute(self, actor: Actor, operands: list[Array], image: int) -> Array:
        if actor.kind is ActorKind.INPUT:
            assert self._images is not None
            pixels: Array = self._images[image]
            return pixels
        return self._kernels[actor.actor_id](operands)

    def _collect(
        self, actor: Actor, into: Sequence[Channel], image: int, pieces: dict[int, Array]
    ) -> list[Array]:  # fmt: skip
        """Return the actor's operands: partial sums one by one, feature maps put together from their pieces."""
        arrays = [
            self._exchange.receive(channel.channel_id, image)
            if channel.channel_id in self._remote
            else pieces.pop(channel.channel_id)
            for channel in into
        ]
        inlets = self._inlets[actor.actor_id]
        if not inlets:  # partial sums
            return arrays
        return [inlet.put_together([arrays[i] for i in places]) for inlet, places in inlets]

    def _make_inlets(self, actor: Actor) -> list[tuple[Inlet, list[int]]]:
        """Return, per operand, what puts it together and which of the actor's channels bring its pieces."""
        into = self._into[actor.actor_id]
        if actor.kind is ActorKind.REDUCE:
            return []
        inlets = []
        for operand in sorted({channel.operand for channel in into}):
            places = [i for i, channel in enumerate(into) if channel.operand == operand]
            inlets.append((_make_inlet(self._program, actor, [into[i] for i in places]), places))
        return inlets

    def _distribute(self, actor: Actor, result: Array, image: int, pieces: dict[int, Array]) -> None:
        """Hand each outgoing channel the part of the result that it carries."""
        for channel in self._out_of[actor.actor_id]:
            part = self._outlets[channel.channel_id].take(result)
            if channel.channel_id in self._remote:
                self._exchange.send(channel.channel_id, image, part)
            else:
                pieces[channel.channel_id] = part


def _owners(program: Program, owner_of_site: Sequence[int]) -> dict[int, int]:
    """Return the rank of each actor: that of its site, but the output's goes to the rank that makes it.

    Results are kept where they appear. Bringing them back to the rank of the HBM, where the images start, would close
    the pipeline of ranks into a ring and let the first rank wait for the last with every image.
    """
    owners = {actor.actor_id: owner_of_site[actor.site] for actor in program.actors}
    for channel in program.channels:
        if program.actors[channel.consumer].kind is ActorKind.OUTPUT:
            owners[channel.consumer] = owners[channel.producer]
    return owners


def _traveling_array(program: Program, channel: Channel) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
    """Return shape and dtype of what a channel carries for one image."""
    producer, carried = program.actors[channel.producer], carried_map(program, channel)
    n_columns = len(made_columns(producer, channel.tokens))
    if not carries_sums(producer):
        return (carried.height, n_columns, len(channel.carries)), np.dtype(carried.quantization.dtype)
    n_groups = -(-n_columns // program.layers[producer.layer_id].pixels_per_mvm)
    return (carried.height * n_groups, len(channel.carries)), np.dtype(np.int32)


def _make_inlet(program: Program, actor: Actor, channels: Sequence[Channel]) -> Inlet:
    """Return what puts together the operand that ``channels`` bring."""
    source = carried_map(program, channels[0])
    if actor.kind is ActorKind.MVM:
        layer = program.layers[actor.layer_id]
        needed = input_channels(actor.rows, source.channels)
        return Inlet(program, channels, needed, padding=convolution_padding(layer))
    is_elementwise = actor.kind in (ActorKind.ADD, ActorKind.RELU, ActorKind.STORE)
    columns = made_columns(actor) if is_elementwise else None
    return Inlet(program, channels, Span(0, source.channels), columns=columns)
