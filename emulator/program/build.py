"""Turn a mapping into a program: actors where the mapping put work, channels where feature maps flow."""

from emulator.mapping.mapping import Block, LayerMapping, Mapping, Reduction, Store
from emulator.network.geometry import Span, input_channels, kernel_columns, unrolled
from emulator.network.graph import FeatureMap, Op
from emulator.program import graph_builder as graph
from emulator.program.buffers import size_join_buffers
from emulator.program.check import check_hbm, check_l1, check_program
from emulator.program.dataflow import Actor, Program, ProgramLayer
from emulator.program.durations import ACTIVATION_BYTES, ChipTiming
from emulator.program.graph_builder import GraphBuilder, Sources, Work
from emulator.program.tiles import Reach, Share, Tiling, consume, reach_of
from traces.schema import ActorKind, Resource

_DIGITAL_KINDS = {
    Op.MAX_POOL: ActorKind.MAX_POOL,
    Op.AVG_POOL: ActorKind.AVG_POOL,
    Op.ADD: ActorKind.ADD,
    Op.RELU: ActorKind.RELU,
}
_SAME = Reach(1, 0, 0)


def build_program(mapping: Mapping) -> Program:
    """Build and check the program of ``mapping``.

    Raises:
        MappingError: the buffers of a cluster do not fit its L1, or those in the HBM its capacity; carries the report.
        ProgramError: the graph breaks its own rules or would deadlock.
    """
    builder = _Builder(mapping)
    program = size_join_buffers(builder.build())
    check_program(program)
    check_l1(program, mapping)
    check_hbm(program, mapping)
    return program


class _Builder:
    """Builds layer by layer, remembering who makes which feature map."""

    def __init__(self, mapping: Mapping) -> None:
        self._mapping = mapping
        self._network = mapping.network
        self._timing = ChipTiming(mapping.chip)
        self._graph = GraphBuilder(mapping.chip.n_clusters)
        self._sources: dict[str, Sources] = {}

    def build(self) -> Program:
        self._add_input()
        for layer_id, mapped in enumerate(self._mapping.layers):
            output = self._network.feature_maps[mapped.layer.output]
            tiling = Tiling(output.width, mapped.tile_width)
            add = self._add_convolution if mapped.blocks else self._add_digital
            self._sources[output.name] = Sources(output, tiling, add(layer_id, mapped, output, tiling))
        self._add_output()
        return Program(
            name=f"{self._network.name} on {self._mapping.chip.name}",
            input=self._network.feature_maps[self._network.input],
            output=self._network.feature_maps[self._network.output],
            layers=tuple(self._describe(mapped) for mapped in self._mapping.layers),
            actors=tuple(self._graph.actors),
            channels=tuple(self._graph.channels),
            n_clusters=self._mapping.chip.n_clusters,
        )

    def _describe(self, mapped: LayerMapping) -> ProgramLayer:
        layer, feature_maps = mapped.layer, self._network.feature_maps
        return ProgramLayer(
            name=layer.name,
            op=layer.op,
            window=layer.window,
            inputs=tuple(feature_maps[name] for name in layer.inputs),
            output=feature_maps[layer.output],
            pixels_per_mvm=mapped.pixels_per_mvm,
            macs=self._network.macs(layer),
            n_crossbars=len(mapped.blocks),
        )

    def _add_edge(self, kind: ActorKind, feature_map: FeatureMap, tiling: Tiling, token_bytes: int) -> Actor:
        work = Work(Resource.NONE, (0,) * tiling.n_tiles, 0, 0, token_bytes)
        return self._graph.add(
            kind, feature_map.name, -1, self._mapping.chip.n_clusters, tiling=tiling, share=Share(),
            columns=Span(0, feature_map.channels), work=work, block=graph.Block(),
        )  # fmt: skip

    def _add_input(self) -> None:
        image = self._network.feature_maps[self._network.input]
        tiling = Tiling(image.width, min(image.width, self._mapping.policy.tile_width))
        n_bytes = image.height * tiling.tile_width * image.channels * ACTIVATION_BYTES
        actor = self._add_edge(ActorKind.INPUT, image, tiling, n_bytes)
        self._sources[image.name] = Sources(image, tiling, (actor,))

    def _add_output(self) -> None:
        result = self._network.feature_maps[self._network.output]
        actor = self._add_edge(ActorKind.OUTPUT, result, Tiling(result.width, result.width), 0)
        self._graph.feed(actor, self._sources[result.name], actor.columns, Reach(1, 0, 0))

    # ---- layers done by the cores

    def _add_digital(
        self, layer_id: int, mapped: LayerMapping, output: FeatureMap, tiling: Tiling
    ) -> tuple[Actor, ...]:  # fmt: skip
        layer = mapped.layer
        operands = [self._sources[name] for name in layer.inputs]
        if mapped.store is not None:
            operands[mapped.store.operand] = self._add_stores(layer_id, mapped, mapped.store)
        workers = []
        for k, cluster in enumerate(mapped.workers):
            share = Share(k, mapped.n_copies, is_strip=mapped.choice.sharing == "strips")
            work = self._core_work(
                [
                    self._timing.digital_work(layer.op, output.height * width * output.channels, layer.window)
                    for width in tiling.widths(share)
                ],
                output.height * tiling.tile_width * output.channels * ACTIVATION_BYTES,
            )
            actor = self._graph.add(
                _DIGITAL_KINDS[layer.op], _copy_name(layer.name, k, mapped), layer_id, cluster, tiling=tiling,
                share=share, columns=Span(0, output.channels), work=work, block=graph.Block(),
            )  # fmt: skip
            for i, sources in enumerate(operands):
                self._graph.feed(actor, sources, actor.columns, reach_of(layer.window), i)
            workers.append(actor)
        return tuple(workers)

    def _add_stores(self, layer_id: int, mapped: LayerMapping, store: Store) -> Sources:
        """Add the actors that hold the residual of an addition: they pass its tiles on in order."""
        held = self._sources[mapped.layer.inputs[store.operand]]
        height, _, channels = held.feature_map.shape
        actors = []
        for k, site in enumerate(store.sites[: held.tiling.n_tiles]):
            share = Share(k, min(len(store.sites), held.tiling.n_tiles))
            n_firings = len(held.tiling.widths(share))
            n_bytes = height * held.tiling.tile_width * channels * ACTIVATION_BYTES
            actor = self._graph.add(
                ActorKind.STORE, f"{mapped.layer.name} residual#{k}", layer_id, site, tiling=held.tiling, share=share,
                columns=Span(0, channels), work=Work(Resource.NONE, (0,) * n_firings, 0, 0, n_bytes),
                block=graph.Block(is_root=False),
            )  # fmt: skip
            self._graph.feed(actor, held, actor.columns, _SAME, store.operand)
            actors.append(actor)
        return Sources(held.feature_map, held.tiling, tuple(actors))

    def _core_work(self, work: list[list[tuple[int, int]]], output_token_bytes: int) -> Work:
        cycles = [self._timing.core_cycles(each) for each in work]
        durations_ps = tuple(c * self._timing.cycle_ps for c in cycles)
        return Work(Resource.CORES, durations_ps, 0, sum(cycles), output_token_bytes)

    # ---- convolutions

    def _add_convolution(
        self, layer_id: int, mapped: LayerMapping, output: FeatureMap, tiling: Tiling
    ) -> tuple[Actor, ...]:  # fmt: skip
        leaves: dict[tuple[int, int, int], Actor] = {}
        for block in mapped.blocks:
            leaves[block.copy, block.column_block, block.row_block] = self._add_block(layer_id, mapped, tiling, block)
        nodes: dict[tuple[int, int], list[Actor]] = {}
        for reduction in mapped.reductions:
            key = reduction.copy, reduction.column_block
            earlier = nodes.setdefault(key, [])
            operands = [leaves[*key, i] for i in reduction.node.leaves] + [earlier[i] for i in reduction.node.nodes]
            earlier.append(self._add_reduction(layer_id, mapped, output, reduction, operands, len(earlier)))
        return tuple(tree[-1] for tree in nodes.values())

    def _add_block(self, layer_id: int, mapped: LayerMapping, tiling: Tiling, block: Block) -> Actor:
        layer, n_pixels = mapped.layer, mapped.pixels_per_mvm
        assert layer.window is not None
        height = self._network.feature_maps[layer.output].height
        share = Share(block.copy, mapped.n_copies, is_strip=mapped.choice.sharing == "strips")
        n_jobs = [height * -(-width // n_pixels) for width in tiling.widths(share)]
        n_rows, n_columns = len(block.rows), len(block.columns)
        work = Work(
            Resource.IMA,
            durations_ps=tuple(self._timing.mvm_ps(n, n_rows, n_columns) for n in n_jobs),
            n_jobs=sum(n_jobs),
            core_cycles=0,
            output_token_bytes=max(n_jobs) * n_columns * self._timing.mvm_output_bytes,
        )
        name = _copy_name(f"{layer.name}[{block.row_block},{block.column_block}]", block.copy, mapped)
        actor = self._graph.add(
            ActorKind.MVM, name, layer_id, block.cluster, tiling=tiling, share=share, columns=block.columns, work=work,
            block=graph.Block(block.rows, block.row_block, block.column_block, is_root=False),
        )  # fmt: skip
        sources = self._sources[layer.inputs[0]]
        n_channels = sources.feature_map.channels
        columns = kernel_columns(block.rows, unrolled(layer.window, n_pixels), n_channels)
        channels = input_channels(block.rows, n_channels)
        self._graph.feed(actor, sources, channels, reach_of(layer.window, columns, n_pixels))
        return actor

    def _add_reduction(
        self, layer_id: int, mapped: LayerMapping, output: FeatureMap, reduction: Reduction, operands: list[Actor],
        number: int,
    ) -> Actor:  # fmt: skip
        tiling, share, is_root = operands[0].tiling, operands[0].share, reduction.is_root
        n_columns = len(reduction.columns)
        n_jobs = [output.height * -(-width // mapped.pixels_per_mvm) for width in tiling.widths(share)]
        element_bytes = ACTIVATION_BYTES if is_root else self._timing.partial_sum_bytes
        work = self._core_work(
            [self._timing.reduce_work(n * n_columns, len(operands), is_root=is_root) for n in n_jobs],
            max(n_jobs) * n_columns * element_bytes,
        )
        columns = Span(0, output.channels) if is_root and mapped.pixels_per_mvm > 1 else reduction.columns
        name = _copy_name(f"{mapped.layer.name}[+{number},{reduction.column_block}]", reduction.copy, mapped)
        actor = self._graph.add(
            ActorKind.REDUCE, name, layer_id, reduction.cluster, tiling=tiling, share=share, columns=columns, work=work,
            block=graph.Block(Span(0, 0), number, reduction.column_block, reduction.node.stage, is_root),
        )  # fmt: skip
        taken = consume(Tiling(len(n_jobs), 1), Share(), Tiling(len(n_jobs), 1), Share(), _SAME)
        assert taken is not None
        for operand in operands:
            is_leaf = operand.kind is ActorKind.MVM
            operand_bytes = self._timing.mvm_output_bytes if is_leaf else self._timing.partial_sum_bytes
            sizes = tuple(n * n_columns * operand_bytes for n in n_jobs)
            self._graph.connect(operand, actor, taken, sizes, carries=reduction.columns)
        return actor


def _copy_name(name: str, copy: int, mapped: LayerMapping) -> str:
    """Name a copy, if there are several."""
    return f"{name}#{copy}" if mapped.n_copies > 1 else name
