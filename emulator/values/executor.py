"""The value plane of one rank: image by image, compute the actors of its sites in the order of the program.

Ranks form a pipeline: while one computes image i, the ranks behind it in the network compute earlier images.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
from isal.isal_zlib import crc32
from numpy.typing import NDArray

from emulator.parallel.comm import Comm
from emulator.program.dataflow import Actor, Channel, Program
from emulator.values.convolution import Convolution, Held, Workspace
from emulator.values.cores import core_kernel
from emulator.values.exchange import Exchange, Flow, Traffic, flow_tags
from emulator.values.gemm import GemmKind
from emulator.values.maps import Maps, carried_piece, check_operands, made_piece
from emulator.values.operands import carried_map, carriers, carries_sums, made_columns
from emulator.values.trees import Tree, find_trees
from traces.schema import ActorKind

Step = Callable[[int], None]


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
        held: what this rank's actors hold.
        owner_of_site: rank of each site, clusters then HBM.
        comm: the ranks.
        images: quantised network input, (n_images, height, width, channels), on the rank that owns the HBM, else None.
        n_images: images in the batch.
        sink: takes checksums and outputs.
        gemm: how products are computed; every way gives the same integers.

    Raises:
        ProgramError: the channels of an actor do not bring what it reads.
    """

    def __init__(
        self, program: Program, held: Held, *, owner_of_site: Sequence[int], comm: Comm,
        images: NDArray[np.generic] | None, n_images: int, sink: ValueSink, gemm: GemmKind = "auto",
    ) -> None:  # fmt: skip
        self._program, self._images, self._n_images, self._sink = program, images, n_images, sink
        owners = _owners(program, owner_of_site)
        self._actors = [actor for actor in program.actors if owners[actor.actor_id] == comm.rank]
        self._into, self._out_of = program.channels_into(), program.channels_out_of()
        for actor in self._actors:
            check_operands(program, actor, self._into[actor.actor_id])
        self._maps = Maps(program, self._actors)
        self._trees = {tree.top.actor_id: tree for tree in find_trees(program, self._actors, owners)}
        self._convolutions = self._set_up_convolutions(held, gemm)
        self._carriers, self._received = carriers(program, owners), set[int]()
        crossing = set(self._carriers.values())
        tags = flow_tags([channel for channel in program.channels if channel.channel_id in crossing], owners)
        self._exchange = self._open_exchange(comm, owners, tags)
        self._pieces = {
            channel.channel_id: carried_piece(self._maps, program, channel)
            for actor in self._actors
            for channel in (*self._into[actor.actor_id], *self._out_of[actor.actor_id])
            if channel.channel_id in tags and not carries_sums(program.actors[channel.producer])
        }
        self._crcs: list[tuple[int, int]] = []
        self._steps = self._plan()

    @property
    def traffic(self) -> Traffic:
        """Messages sent so far."""
        return self._exchange.traffic

    def n_clipped(self) -> dict[int, int]:
        """Return how many conversions the ADCs of each analog crossbar have clipped so far, by MVM actor."""
        convolutions = self._convolutions.values()
        return {actor_id: n for convolution in convolutions for actor_id, n in convolution.n_clipped().items()}

    def run(self, on_image: Callable[[int], None] = lambda _: None) -> None:
        """Compute all images; ``on_image`` hears of each that this rank has finished. May be called again."""
        self._exchange.start()
        for image in range(self._n_images):
            for step in self._steps:
                step(image)
                self._exchange.nudge()
            self._write_checksums(image)
            on_image(image)
        self._exchange.finish()

    # ---- setting up

    def _set_up_convolutions(self, held: Held, gemm: GemmKind) -> dict[int, Convolution]:
        by_layer: dict[int, list[Tree]] = {}
        for tree in self._trees.values():
            by_layer.setdefault(tree.top.layer_id, []).append(tree)
        workspace = Workspace()
        return {
            i: Convolution(self._program.layers[i], trees, held, maps=self._maps, kind=gemm, workspace=workspace)
            for i, trees in by_layer.items()
        }

    def _open_exchange(self, comm: Comm, owners: Mapping[int, int], tags: Mapping[int, int]) -> Exchange:
        outgoing: list[Flow] = []
        incoming: list[Flow] = []
        for channel in self._program.channels:
            if channel.channel_id not in tags:
                continue
            producer, consumer = owners[channel.producer], owners[channel.consumer]
            if comm.rank in {producer, consumer}:
                shape, dtype = _traveling_array(self._program, channel)
                peer = consumer if producer == comm.rank else producer
                flow = Flow(channel, peer, tags[channel.channel_id], shape, dtype)
                (outgoing if producer == comm.rank else incoming).append(flow)
        return Exchange(comm, outgoing, incoming, self._n_images)

    def _plan(self) -> list[Step]:
        """Return the steps of an image: one for the crossbars of a layer together, one for every other actor."""
        crossbars: dict[int, list[Actor]] = {}
        for actor in self._actors:
            if actor.kind is ActorKind.MVM:
                crossbars.setdefault(actor.layer_id, []).append(actor)
        steps: list[Step] = []
        computed: set[int] = set()
        for actor in self._actors:
            if actor.layer_id in self._convolutions and actor.layer_id not in computed:
                computed.add(actor.layer_id)
                steps.append(self._convolution_step(actor.layer_id, crossbars.get(actor.layer_id, [])))
            if actor.kind not in {ActorKind.MVM, ActorKind.REDUCE}:
                steps.append(self._actor_step(actor))
            elif actor.actor_id in self._trees:
                steps.append(self._tree_step(self._trees[actor.actor_id]))
        return steps

    def _convolution_step(self, layer_id: int, crossbars: Sequence[Actor]) -> Step:
        take_pieces, convolution = self._receiver(crossbars), self._convolutions[layer_id]

        def compute(image: int) -> None:
            take_pieces(image)
            convolution.compute(image)

        return compute

    def _tree_step(self, tree: Tree) -> Step:
        """Return what ends the sum of a tree: what other ranks add, and requantisation or the way to another rank."""
        convolution, top = self._convolutions[tree.top.layer_id], tree.top
        if tree.is_whole:
            return self._publisher(top)
        arriving = [channel.channel_id for channel in tree.arriving]
        publish = self._publisher(top) if top.is_root else None
        leaving = [channel.channel_id for channel in self._out_of[top.actor_id]]

        def finish(image: int) -> None:
            total = convolution.sums(top)
            for channel_id in arriving:
                np.add(total, self._exchange.receive(channel_id, image), out=total)
                self._exchange.release(channel_id, image)
            if publish is None:
                self._exchange.send(leaving[0], image, total)
            else:
                convolution.finish(top)
                publish(image)

        return finish

    def _actor_step(self, actor: Actor) -> Step:
        """Return what an actor does that makes, keeps or ends feature maps."""
        take_pieces = self._receiver([actor])
        if actor.kind is ActorKind.OUTPUT:
            result = self._maps[self._program.output].inside

            def end(image: int) -> None:
                take_pieces(image)
                self._sink.output(image, result.astype(np.int64).ravel())

            return end
        publish = self._publisher(actor)
        if actor.kind is ActorKind.INPUT:
            assert self._images is not None
            images, pixels = self._images, self._maps[self._program.input].inside

            def make(image: int) -> None:
                pixels[...] = images[image]

        elif actor.kind is ActorKind.STORE:

            def make(image: int) -> None:
                """Keep the feature map where it is."""

        else:
            compute = core_kernel(actor, self._program.layers[actor.layer_id], self._maps)

            def make(image: int) -> None:  # noqa: ARG001 (every image is computed alike)
                compute()

        def step(image: int) -> None:
            take_pieces(image)
            make(image)
            publish(image)

        return step

    # ---- moving feature maps

    def _receiver(self, actors: Sequence[Actor]) -> Step:
        """Return what puts the pieces that other ranks send to ``actors`` into the feature maps, unless they lie there.

        To be called in the order of the steps: each piece is received where it is read first.
        """
        wanted = (self._carriers.get(channel.channel_id) for actor in actors for channel in self._into[actor.actor_id])
        new = {i: None for i in wanted if i in self._pieces and i not in self._received}  # a set that keeps the order
        self._received |= new.keys()
        arriving = [(channel_id, self._pieces[channel_id]) for channel_id in new]

        def receive(image: int) -> None:
            for channel_id, piece in arriving:
                piece.put(self._exchange.receive(channel_id, image))
                self._exchange.release(channel_id, image)

        return receive

    def _publisher(self, actor: Actor) -> Step:
        """Return what sends an actor's part of a feature map to other ranks and notes its checksum."""
        leaving = [
            (channel.channel_id, self._pieces[channel.channel_id])
            for channel in self._out_of[actor.actor_id]
            if channel.channel_id in self._pieces
        ]
        made = made_piece(self._maps, self._program, actor) if actor.is_root else None

        def publish(image: int) -> None:
            for channel_id, piece in leaving:
                self._exchange.send(channel_id, image, piece.take())
            if made is not None:
                self._crcs.append((actor.actor_id, crc32(np.ascontiguousarray(made.take()).data)))

        return publish

    def _write_checksums(self, image: int) -> None:
        ids, values = np.array(self._crcs, np.int64).reshape(-1, 2).T
        self._sink.append("checksums", {"actor": ids, "image": np.full_like(ids, image), "crc32": values})
        self._crcs.clear()


def _owners(program: Program, owner_of_site: Sequence[int]) -> dict[int, int]:
    """Return the rank of each actor: that of its site, but what computes nothing goes where it is wanted.

    The network's output stays on the rank that makes it, and residuals wait on the rank that adds them, wherever the
    chip keeps them. Bringing them to the rank of the HBM, where the images start, or to that of spare clusters at the
    end would close the pipeline of ranks into a ring and let the first rank wait for the last with every image.
    """
    owners = {actor.actor_id: owner_of_site[actor.site] for actor in program.actors}
    for channel in program.channels:
        if program.actors[channel.consumer].kind is ActorKind.OUTPUT:
            owners[channel.consumer] = owners[channel.producer]
        if program.actors[channel.producer].kind is ActorKind.STORE:
            owners[channel.producer] = owners[channel.consumer]
    return owners


def _traveling_array(program: Program, channel: Channel) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
    """Return shape and dtype of what a channel carries for one image."""
    producer, carried = program.actors[channel.producer], carried_map(program, channel)
    n_columns = len(made_columns(producer, channel.tokens))
    if not carries_sums(producer):
        return (carried.height, n_columns, len(channel.carries)), np.dtype(carried.quantization.dtype)
    n_groups = -(-n_columns // program.layers[producer.layer_id].pixels_per_mvm)
    return (carried.height * n_groups, len(channel.carries)), np.dtype(np.int32)
