"""The program of a stack of fully connected layers as columns, without an object per actor.

For networks whose feature maps are single pixels, mapped one copy of everything, cluster after cluster. A layer is cut
into ``n_row_blocks x n_column_blocks`` crossbars; which sources a row block reads and how a column block's sums are
added is the same for every column block, so it is worked out once and repeated by numpy. The result equals, row for
row, the columns of the program of objects; the tests compare them.

Deadlock is no question here: an image is one token on every channel, and every channel has room for two.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emulator.chip.spec import Chip
from emulator.chip.topology import build_topology
from emulator.errors import MappingError
from emulator.mapping.split import TreeNode, balanced_spans, reduction_stages, reduction_tree
from emulator.network.geometry import Span
from emulator.network.graph import Layer, Network, Op
from emulator.program.columns import ACTOR_ROW, CHANNEL_ROW, Columns, Pools, Records
from emulator.program.dataflow import OUTPUT_SLOTS
from emulator.program.durations import ACTIVATION_BYTES, ChipTiming
from traces.schema import Resource

#: Tokens for which every channel has room: one that is used and the next.
_CAPACITY = 2


class _Sources(NamedTuple):
    """The actors that make a feature map, in order, and the channels of it that each makes."""

    actors: NDArray[np.int64]
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class _Feed:
    """Channels into one actor or one column block: source actors, target positions, bytes per token."""

    source: NDArray[np.int64]
    target: NDArray[np.int64]
    n_bytes: NDArray[np.int64]


def stack_columns(network: Network, chip: Chip, fan_in: int = 4, *, aligned: bool = False) -> Columns:
    """Map a stack onto ``chip`` and return its program.

    Args:
        network: fully connected layers and additions over feature maps of one pixel.
        chip: where it runs.
        fan_in: partial sums added at once in a reduction tree.
        aligned: whether a layer begins with a quadrant, the largest that it fills; else with the next cluster. The
            clusters left out stay idle; in return a layer's own traffic stays inside.

    Raises:
        MappingError: the network has other layers, or needs more clusters or more L1 than there is.
    """
    builder = _StackBuilder(network, chip, fan_in, aligned=aligned)
    for layer in network.layers:
        if any(network.feature_maps[name].shape[:2] != (1, 1) for name in (*layer.inputs, layer.output)):
            raise MappingError(f"{layer.name}: only feature maps of one pixel can be built as a stack")
        if layer.weights is not None:
            builder.add_matrix(layer)
        elif layer.op is Op.ADD:
            builder.add_addition(layer)
        else:
            raise MappingError(f"{layer.name}: only fully connected layers and additions can be built as a stack")
    return builder.finish()


class _StackBuilder:
    """Builds layer by layer, remembering who makes which feature map."""

    def __init__(self, network: Network, chip: Chip, fan_in: int, *, aligned: bool) -> None:
        self._quadrants = [*build_topology(chip).subtree_sizes] if aligned else [1]
        self._network, self._chip, self._fan_in = network, chip, fan_in
        self._timing, self._pools = ChipTiming(chip), Pools()
        self._actors: list[Records] = []
        self._channels: list[Records] = []
        self._n_actors = self._n_clusters = 0
        self._l1_bytes = np.zeros(chip.n_clusters + 1, np.int64)
        self._one = (self._pools.uses.add((1,), (1,)), self._pools.made.add((1,)))
        self._sources: dict[str, _Sources] = {}
        image = network.feature_maps[network.input]
        actor = self._add_actors(chip.n_clusters, Resource.NONE, 0, image.channels * ACTIVATION_BYTES)
        self._sources[network.input] = _Sources(actor, (Span(0, image.channels),))

    def add_matrix(self, layer: Layer) -> None:
        """Add the crossbars of a fully connected layer and the trees that add their partial sums."""
        assert layer.weights is not None
        ima, timing = self._chip.cluster.ima, self._timing
        n_outputs, n_inputs = layer.weights.values.shape[0], layer.weights.values.shape[-1]
        rows, columns = balanced_spans(n_inputs, ima.rows), balanced_spans(n_outputs, ima.columns)
        n_rows, widths = len(rows), np.array([len(span) for span in columns])
        cluster = self._take(n_rows * len(columns)).reshape(len(columns), n_rows)
        duration = np.array([[timing.mvm_ps(1, len(r), len(c)) for r in rows] for c in columns])
        blocks = self._add_actors(
            cluster.ravel(), Resource.IMA, duration.ravel(), np.repeat(widths * timing.mvm_output_bytes, n_rows)
        ).reshape(cluster.shape)
        feed = _overlaps(self._sources[layer.inputs[0]], rows)
        self._connect(
            np.tile(feed.source, len(columns)), blocks[:, feed.target].ravel(), np.tile(feed.n_bytes, len(columns))
        )
        tree = reduction_tree(n_rows, reduction_stages(n_rows, self._fan_in))
        roots = self._add_trees(tree, cluster, blocks, widths)
        self._sources[layer.output] = _Sources(roots, columns)

    def _add_trees(
        self, tree: tuple[TreeNode, ...], cluster: NDArray[np.int64], blocks: NDArray[np.int64],
        widths: NDArray[np.int64],
    ) -> NDArray[np.int64]:  # fmt: skip
        """Add one reduction tree per column block; returns the roots."""
        timing, n_columns = self._timing, len(widths)
        fan = [len(node.leaves) + len(node.nodes) for node in tree]
        cycles = [
            [timing.core_cycles(timing.reduce_work(int(w), f, is_root=k == len(tree) - 1)) for k, f in enumerate(fan)]
            for w in widths
        ]
        size = [ACTIVATION_BYTES if k == len(tree) - 1 else timing.partial_sum_bytes for k in range(len(tree))]
        hosts = cluster[:, [node.host for node in tree]]
        nodes = self._add_actors(
            hosts.ravel(), Resource.CORES, np.array(cycles).ravel() * timing.cycle_ps, np.outer(widths, size).ravel()
        ).reshape(n_columns, len(tree))
        operands = np.concatenate((blocks, nodes), axis=1)  # leaves, then earlier nodes
        taken = [[*node.leaves, *(blocks.shape[1] + i for i in node.nodes)] for node in tree]
        source = np.array([operand for each in taken for operand in each])
        target = np.repeat(np.arange(len(tree)), fan)
        per_sum = np.where(source < blocks.shape[1], timing.mvm_output_bytes, timing.partial_sum_bytes)
        self._connect(operands[:, source].ravel(), nodes[:, target].ravel(), np.outer(widths, per_sum).ravel())
        return nodes[:, -1]

    def add_addition(self, layer: Layer) -> None:
        """Add the cluster that adds two feature maps."""
        channels = self._network.feature_maps[layer.output].channels
        cycles = self._timing.core_cycles(self._timing.digital_work(layer.op, channels, None))
        site, duration_ps = self._take(1), cycles * self._timing.cycle_ps
        actor = self._add_actors(site, Resource.CORES, duration_ps, channels * ACTIVATION_BYTES)
        for name in layer.inputs:
            self._feed_whole(actor, name)
        self._sources[layer.output] = _Sources(actor, (Span(0, channels),))

    def finish(self) -> Columns:
        """Add the output and return the program.

        Raises:
            MappingError: there are too few clusters, or an L1 is too small.
        """
        actor = self._add_actors(self._chip.n_clusters, Resource.NONE, 0, 0)
        self._feed_whole(actor, self._network.output)
        fullest = int(self._l1_bytes[:-1].argmax())
        if self._l1_bytes[fullest] > self._chip.cluster.l1_bytes:
            raise MappingError(
                f"{self._network.name} does not fit {self._chip.name}: L1 of cluster {fullest} needs "
                f"{self._l1_bytes[fullest]} bytes, there are {self._chip.cluster.l1_bytes}"
            )
        return self._pools.columns(self._chip.n_clusters, np.concatenate(self._actors), np.concatenate(self._channels))

    def _take(self, n: int) -> NDArray[np.int64]:
        """Take the next ``n`` clusters."""
        quadrant = max(size for size in self._quadrants if size <= n)
        self._n_clusters += -self._n_clusters % quadrant + n
        if self._n_clusters > self._chip.n_clusters:
            raise MappingError(
                f"{self._network.name} does not fit {self._chip.name}: it needs more than its "
                f"{self._chip.n_clusters} clusters; take a chip with more (topology.levels: larger fan_out)"
            )
        return np.arange(self._n_clusters - n, self._n_clusters)

    def _feed_whole(self, actor: NDArray[np.int64], name: str) -> None:
        sources = self._sources[name]
        n_bytes = np.array([len(span) for span in sources.spans]) * ACTIVATION_BYTES
        self._connect(sources.actors, np.repeat(actor, len(n_bytes)), n_bytes)

    def _add_actors(
        self, site: NDArray[np.int64] | int, resource: Resource, duration_ps: NDArray[np.int64] | int,
        output_bytes: NDArray[np.int64] | int,
    ) -> NDArray[np.int64]:  # fmt: skip
        """Add actors that fire once per image; returns their ids."""
        sites = np.atleast_1d(site)
        rows = np.zeros(len(sites), ACTOR_ROW)
        rows["site"], rows["resource"], rows["n_firings"] = sites, resource, 1
        distinct, number = np.unique(np.broadcast_to(duration_ps, sites.shape), return_inverse=True)
        rows["duration_start"] = np.array([self._pools.durations.add((ps,)) for ps in distinct.tolist()])[number]
        self._actors.append(rows)
        np.add.at(self._l1_bytes, sites, OUTPUT_SLOTS * np.broadcast_to(output_bytes, sites.shape))
        self._n_actors += len(sites)
        return np.arange(self._n_actors - len(sites), self._n_actors)

    def _connect(self, producer: NDArray[np.int64], consumer: NDArray[np.int64], n_bytes: NDArray[np.int64]) -> None:
        """Add channels of one token per image."""
        rows = np.zeros(len(producer), CHANNEL_ROW)
        rows["producer"], rows["consumer"], rows["capacity"] = producer, consumer, _CAPACITY
        rows["slots"], rows["n_tokens"] = OUTPUT_SLOTS, 1
        distinct, number = np.unique(n_bytes, return_inverse=True)
        rows["token_start"] = np.array([self._pools.tokens.add((size,)) for size in distinct.tolist()])[number]
        rows["use_start"], rows["made_start"] = self._one
        self._channels.append(rows)
        recent = self._actors[-1]
        site = recent["site"][consumer - (self._n_actors - len(recent))]
        np.add.at(self._l1_bytes, site, _CAPACITY * n_bytes)


def _overlaps(sources: _Sources, rows: tuple[Span, ...]) -> _Feed:
    """Tell which sources every row block reads, and how much."""
    found = [
        (int(actor), i, len(span & block) * ACTIVATION_BYTES)
        for i, block in enumerate(rows)
        for actor, span in zip(sources.actors, sources.spans, strict=True)
        if len(span & block)
    ]
    source, target, n_bytes = np.array(found).T
    return _Feed(source, target, n_bytes)
