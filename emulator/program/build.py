"""Turn a mapping into a program: actors where the mapping put work, channels where feature maps flow."""

from dataclasses import dataclass, replace

from emulator.mapping.mapping import Block, LayerMapping, Mapping, Reduction
from emulator.network.geometry import Span, input_channels, kernel_columns
from emulator.network.graph import FeatureMap, Op
from emulator.program.buffers import size_join_buffers
from emulator.program.check import check_l1, check_program
from emulator.program.dataflow import Actor, Channel, Program, ProgramLayer
from emulator.program.durations import ACTIVATION_BYTES, ChipTiming
from emulator.program.tiles import Consumption, Tiling, consume_tiles
from traces.schema import ActorKind, Resource

OUTPUT_SLOTS = 2

_DIGITAL_KINDS = {
    Op.MAX_POOL: ActorKind.MAX_POOL,
    Op.AVG_POOL: ActorKind.AVG_POOL,
    Op.ADD: ActorKind.ADD,
    Op.RELU: ActorKind.RELU,
}


def build_program(mapping: Mapping) -> Program:
    """Build and check the program of ``mapping``.

    Raises:
        MappingError: the buffers of a cluster do not fit its L1; carries the report.
        ProgramError: the graph breaks its own rules or would deadlock.
    """
    builder = _Builder(mapping)
    program = size_join_buffers(builder.build())
    check_program(program)
    check_l1(program, mapping)
    return program


@dataclass(frozen=True, slots=True)
class _Source:
    """An actor that makes some channels of a feature map."""

    actor_id: int
    columns: Span


class _Builder:
    """Collects actors and channels layer by layer, remembering who makes which feature map and in what tiles."""

    def __init__(self, mapping: Mapping) -> None:
        self._mapping = mapping
        self._network = mapping.network
        self._timing = ChipTiming(mapping.chip)
        self._actors: list[Actor] = []
        self._channels: list[Channel] = []
        self._sources: dict[str, tuple[_Source, ...]] = {}
        self._tilings: dict[str, Tiling] = {}

    def build(self) -> Program:
        self._add_input()
        for layer_id, layer in enumerate(self._mapping.layers):
            output = self._network.feature_maps[layer.layer.output]
            self._tilings[output.name] = Tiling(output.width, layer.tile_width)
            add = self._add_digital if layer.cluster is not None else self._add_convolution
            self._sources[output.name] = add(layer_id, layer, output)
        self._add_output()
        return Program(
            name=f"{self._network.name} on {self._mapping.chip.name}",
            input=self._network.feature_maps[self._network.input],
            output=self._network.feature_maps[self._network.output],
            layers=tuple(self._describe(mapped) for mapped in self._mapping.layers),
            actors=tuple(self._actors),
            channels=tuple(self._channels),
            n_clusters=self._mapping.chip.n_clusters,
            output_slots=OUTPUT_SLOTS,
        )

    def _describe(self, mapped: LayerMapping) -> ProgramLayer:
        layer, feature_maps = mapped.layer, self._network.feature_maps
        return ProgramLayer(
            name=layer.name,
            op=layer.op,
            window=layer.window,
            inputs=tuple(feature_maps[name] for name in layer.inputs),
            output=feature_maps[layer.output],
            macs=self._network.macs(layer),
            n_crossbars=len(mapped.blocks),
        )

    def _add_actor(self, actor: Actor) -> Actor:
        actor = replace(actor, actor_id=len(self._actors))
        self._actors.append(actor)
        return actor

    def _connect(
        self, producer: int, consumer: int, token_bytes: tuple[int, ...], consumption: Consumption, *, carries: Span,
        operand: int = 0,
    ) -> None:  # fmt: skip
        self._channels.append(
            Channel(
                channel_id=len(self._channels),
                producer=producer,
                consumer=consumer,
                operand=operand,
                carries=carries,
                token_bytes=token_bytes,
                need=consumption.need,
                freed=consumption.freed,
                capacity=consumption.double_buffer,
            )
        )

    def _connect_sources(
        self, name: str, consumer: Actor, channels: Span, consumption: Consumption, operand: int = 0
    ) -> None:
        """Connect every actor that makes some of ``channels`` of feature map ``name`` to ``consumer``."""
        height = self._network.feature_maps[name].height
        for source in self._sources[name]:
            carries = source.columns & channels
            if len(carries):
                sizes = tuple(height * w * len(carries) * ACTIVATION_BYTES for w in self._tilings[name].tile_widths())
                self._connect(source.actor_id, consumer.actor_id, sizes, consumption, carries=carries, operand=operand)

    def _edge_actor(self, kind: ActorKind, feature_map: FeatureMap, n_firings: int, token_bytes: int) -> Actor:
        return self._add_actor(
            Actor(
                actor_id=-1, kind=kind, name=feature_map.name, layer_id=-1, site=self._mapping.chip.n_clusters,
                resource=Resource.NONE, columns=Span(0, feature_map.channels), rows=Span(0, 0), row_block=0,
                column_block=0, stage=0, durations_ps=(0,) * n_firings, n_jobs=0, core_cycles=0, is_root=True,
                output_token_bytes=token_bytes,
            )
        )  # fmt: skip

    def _add_input(self) -> None:
        image = self._network.feature_maps[self._network.input]
        tiling = Tiling(image.width, self._mapping.policy.tile_width)
        actor = self._edge_actor(
            ActorKind.INPUT, image, tiling.n_tiles, image.height * tiling.tile_width * image.channels * ACTIVATION_BYTES
        )
        self._sources[image.name] = (_Source(actor.actor_id, actor.columns),)
        self._tilings[image.name] = tiling

    def _add_output(self) -> None:
        result = self._network.feature_maps[self._network.output]
        tiling = self._tilings[result.name]
        actor = self._edge_actor(ActorKind.OUTPUT, result, 1, 0)
        whole = Consumption((tiling.n_tiles,), (tiling.n_tiles,))
        self._connect_sources(result.name, actor, actor.columns, whole)

    def _add_digital(self, layer_id: int, mapped: LayerMapping, output: FeatureMap) -> tuple[_Source, ...]:
        assert mapped.cluster is not None
        layer, tiling = mapped.layer, self._tilings[output.name]
        cycles = [
            self._timing.core_cycles(
                self._timing.digital_work(layer.op, output.height * width * output.channels, layer.window)
            )
            for width in tiling.tile_widths()
        ]
        actor = self._add_actor(
            Actor(
                actor_id=-1, kind=_DIGITAL_KINDS[layer.op], name=layer.name, layer_id=layer_id, site=mapped.cluster,
                resource=Resource.CORES, columns=Span(0, output.channels), rows=Span(0, 0), row_block=0,
                column_block=0, stage=0, durations_ps=tuple(c * self._timing.cycle_ps for c in cycles), n_jobs=0,
                core_cycles=sum(cycles), is_root=True,
                output_token_bytes=output.height * tiling.tile_width * output.channels * ACTIVATION_BYTES,
            )
        )  # fmt: skip
        kernel = range(layer.window.kernel_w) if layer.window else range(1)
        for operand, name in enumerate(layer.inputs):
            consumption = consume_tiles(self._tilings[name], tiling, layer.window, kernel)
            self._connect_sources(name, actor, actor.columns, consumption, operand)
        return (_Source(actor.actor_id, actor.columns),)

    def _add_convolution(self, layer_id: int, mapped: LayerMapping, output: FeatureMap) -> tuple[_Source, ...]:
        sources: list[_Source] = []
        for j in sorted({block.column_block for block in mapped.blocks}):
            leaves = [
                self._add_block(layer_id, mapped, output, block) for block in mapped.blocks if block.column_block == j
            ]
            nodes: list[Actor] = []
            for reduction in mapped.reductions:
                if reduction.column_block == j:
                    nodes.append(self._add_reduction(layer_id, mapped, output, reduction, leaves, nodes))
            sources.append(_Source(nodes[-1].actor_id, nodes[-1].columns))
        return tuple(sources)

    def _add_block(self, layer_id: int, mapped: LayerMapping, output: FeatureMap, block: Block) -> Actor:
        layer = mapped.layer
        assert layer.window is not None
        tiling = self._tilings[output.name]
        n_jobs = [output.height * width for width in tiling.tile_widths()]
        n_rows, n_columns = len(block.rows), len(block.columns)
        actor = self._add_actor(
            Actor(
                actor_id=-1, kind=ActorKind.MVM, name=f"{layer.name}[{block.row_block},{block.column_block}]",
                layer_id=layer_id, site=block.cluster, resource=Resource.IMA, columns=block.columns, rows=block.rows,
                row_block=block.row_block, column_block=block.column_block, stage=0,
                durations_ps=tuple(self._timing.mvm_ps(n, n_rows, n_columns) for n in n_jobs), n_jobs=sum(n_jobs),
                core_cycles=0, is_root=False,
                output_token_bytes=max(n_jobs) * n_columns * self._timing.mvm_output_bytes,
            )
        )  # fmt: skip
        source = self._network.feature_maps[layer.inputs[0]]
        consumption = consume_tiles(
            self._tilings[source.name], tiling, layer.window, kernel_columns(block.rows, layer.window, source.channels)
        )
        self._connect_sources(source.name, actor, input_channels(block.rows, source.channels), consumption)
        return actor

    def _add_reduction(
        self, layer_id: int, mapped: LayerMapping, output: FeatureMap, reduction: Reduction, leaves: list[Actor],
        nodes: list[Actor],
    ) -> Actor:  # fmt: skip
        node, n_columns = reduction.node, len(reduction.columns)
        tiling = self._tilings[output.name]
        pixels = [output.height * width for width in tiling.tile_widths()]
        n_operands = len(node.leaves) + len(node.nodes)
        cycles = [
            self._timing.core_cycles(self._timing.reduce_work(n * n_columns, n_operands, is_root=reduction.is_root))
            for n in pixels
        ]
        element_bytes = ACTIVATION_BYTES if reduction.is_root else self._timing.partial_sum_bytes
        actor = self._add_actor(
            Actor(
                actor_id=-1, kind=ActorKind.REDUCE,
                name=f"{mapped.layer.name}[+{len(nodes)},{reduction.column_block}]",
                layer_id=layer_id, site=reduction.cluster, resource=Resource.CORES, columns=reduction.columns,
                rows=Span(0, 0), row_block=len(nodes), column_block=reduction.column_block, stage=node.stage,
                durations_ps=tuple(c * self._timing.cycle_ps for c in cycles), n_jobs=0, core_cycles=sum(cycles),
                is_root=reduction.is_root, output_token_bytes=max(pixels) * n_columns * element_bytes,
            )
        )  # fmt: skip
        consumption = consume_tiles(tiling, tiling, None, range(1))
        for operands, operand_bytes in (
            ([leaves[i] for i in node.leaves], self._timing.mvm_output_bytes),
            ([nodes[i] for i in node.nodes], self._timing.partial_sum_bytes),
        ):
            for operand in operands:
                sizes = tuple(n * n_columns * operand_bytes for n in pixels)
                self._connect(operand.actor_id, actor.actor_id, sizes, consumption, carries=reduction.columns)
        return actor
