"""Map a network as a manual policy says: split, copy and place every layer, and find homes for residuals."""

from dataclasses import replace

from emulator.chip.spec import Chip
from emulator.errors import ConfigError, MappingError
from emulator.mapping.clusters import ClusterPool
from emulator.mapping.interleave import interleave
from emulator.mapping.mapping import Block, InfeasibleError, LayerMapping, Mapping, Reduction, Store
from emulator.mapping.policy import LayerPolicy, ManualPolicy
from emulator.mapping.report import Shortage
from emulator.mapping.residuals import residual_operands
from emulator.mapping.split import balanced_spans, reduction_stages, reduction_tree
from emulator.network.geometry import Span, unrolled
from emulator.network.graph import Layer, Network

#: Bits of quantised weights and activations.
INTEGER_BITS = 8


def map_network(network: Network, chip: Chip, policy: ManualPolicy) -> Mapping:
    """Map ``network`` onto ``chip``.

    A message that begins with "policy: " or "chip: " is about that file, whose path is not known here.

    Raises:
        ConfigError: the policy names what the network does not have.
        MappingError: the crossbars or DACs are too narrow for the network's 8-bit integers, or the policy asks for more
            than there is.
        InfeasibleError: the network needs more clusters than the chip has; carries the report.
    """
    _check_widths(chip)
    policy.check_layers(network)
    placer = _Placer(network, chip, policy)
    layers = placer.with_stores(tuple(placer.place(layer) for layer in network.layers))
    if policy.placement == "interleaved":
        layers = interleave(layers)
    mapping = Mapping(network, chip, policy, layers)
    if placer.pool.n_taken > chip.n_clusters:
        raise InfeasibleError(network.name, chip.name, (_cluster_shortage(mapping, placer.pool.n_taken),))
    return mapping


class _Placer:
    """Hands out clusters layer by layer."""

    def __init__(self, network: Network, chip: Chip, policy: ManualPolicy) -> None:
        self._network, self._chip, self._policy = network, chip, policy
        self._placed: dict[str, LayerMapping] = {}
        fan_outs = [level.fan_out for level in chip.topology.levels]
        self.pool = ClusterPool(fan_outs, aligned=policy.placement == "aligned")

    def place(self, layer: Layer) -> LayerMapping:
        choice = self._policy.choice(layer.name)
        width = self._network.feature_maps[layer.output].width
        tile_width = min(choice.tile_width or 1, width)
        n_copies, n_tiles = choice.copies or 1, -(-width // tile_width)
        if n_copies > n_tiles:
            narrower = " or narrower tiles" if tile_width > 1 else ""
            raise MappingError(
                f"policy: {layer.name}: the policy asks for {n_copies} copies, but tiles of {choice.tile_width} make "
                f"only {n_tiles} of its {width} columns; ask for at most {n_tiles} copies{narrower}"
            )
        hosts = self._hosts(layer, choice)
        if layer.weights is None:
            workers = tuple(self.pool.for_cores(n_copies, hosts))
            placed = LayerMapping(layer, choice, tile_width, n_copies, workers=workers)
        else:
            placed = self._place_convolution(layer, choice, tile_width, n_copies, hosts)
        self._placed[layer.name] = placed
        return placed

    def with_stores(self, layers: tuple[LayerMapping, ...]) -> tuple[LayerMapping, ...]:
        """Give residuals their homes; clusters kept for them come behind all others."""
        homes = {mapped.layer.name: mapped.choice.residual for mapped in layers}
        operands = residual_operands(self._network)
        if any(homes[name] == "spare" for name in operands) and not self._policy.spare_clusters:
            raise ConfigError(
                "policy: residuals are to live on spare clusters, but spare_clusters is 0; ask for at least 1"
            )
        chosen = {self._policy.residual, *(special.residual for special in self._policy.layers.values())}
        if self._policy.spare_clusters and "spare" not in chosen:
            raise ConfigError(
                f"policy: spare_clusters: {self._policy.spare_clusters} have no effect, for no residual lives there "
                "(residual: spare); set it to 0"
            )
        spare = tuple(self.pool.fresh(self._policy.spare_clusters))
        sites = {"spare": spare, "hbm": (self._chip.n_clusters,)}
        stores = {
            name: Store(operand, sites[home]) for name, operand in operands.items() if (home := homes[name]) in sites
        }
        return tuple(replace(mapped, store=stores.get(mapped.layer.name)) for mapped in layers)

    def _hosts(self, layer: Layer, choice: LayerPolicy) -> tuple[int, ...]:
        if choice.guest_of is None:
            return ()
        if choice.guest_of not in self._placed:
            raise ConfigError(
                f"policy: layers: {layer.name} is to be a guest of '{choice.guest_of}', which is no earlier layer; "
                f"there are {', '.join(self._placed) or 'none'}"
            )
        return self._placed[choice.guest_of].clusters

    def _place_convolution(
        self, layer: Layer, choice: LayerPolicy, tile_width: int, n_copies: int, hosts: tuple[int, ...]
    ) -> LayerMapping:  # fmt: skip
        n_pixels = self._check_pixels(layer, choice, tile_width)
        row_spans, column_spans = _cut(layer, self._chip, n_pixels)
        n_blocks = n_copies * len(column_spans) * len(row_spans)
        clusters = iter(self.pool.for_crossbars(n_blocks, hosts))
        blocks = tuple(
            Block(copy, i, j, rows, columns, next(clusters))
            for copy in range(n_copies)
            for j, columns in enumerate(column_spans)
            for i, rows in enumerate(row_spans)
        )
        reductions = self._place_reductions(choice, blocks, column_spans, n_copies)
        return LayerMapping(layer, choice, tile_width, n_copies, n_pixels, blocks, reductions)

    def _check_pixels(self, layer: Layer, choice: LayerPolicy, tile_width: int) -> int:
        """Return how many pixels a crossbar of the layer makes at once; a narrow feature map has no more of them."""
        output, columns = self._network.feature_maps[layer.output], self._chip.cluster.ima.weight_columns
        asked = choice.pixels_per_mvm or 1
        n_pixels = min(asked, output.width)
        if n_pixels > 1 and (n_pixels * output.channels > columns or tile_width % n_pixels):
            fewer = f" ({n_pixels} in its {output.width} columns)" if n_pixels < asked else ""
            raise MappingError(
                f"policy: {layer.name}: the policy asks for {asked} pixels per MVM{fewer}, which takes {n_pixels} x "
                f"{output.channels} of {columns} crossbar columns and tiles of a multiple of {n_pixels} columns, not "
                f"{tile_width}; ask for fewer pixels or other tiles"
            )
        return n_pixels

    def _place_reductions(
        self, choice: LayerPolicy, blocks: tuple[Block, ...], column_spans: tuple[Span, ...], n_copies: int
    ) -> tuple[Reduction, ...]:
        shape = choice.reduction
        assert shape is not None
        n_rows = len(blocks) // (n_copies * len(column_spans))
        tree = reduction_tree(n_rows, shape.stages or reduction_stages(n_rows, shape.fan_in or 2))
        own = list(self.pool.fresh(shape.clusters))
        reductions: list[Reduction] = []
        for copy in range(n_copies):
            for j, columns in enumerate(column_spans):
                first = (copy * len(column_spans) + j) * n_rows
                for node in tree:
                    host = own[len(reductions) % len(own)] if own else blocks[first + node.host].cluster
                    self.pool.note_core_duty(host)
                    reductions.append(Reduction(copy, j, columns, node, node is tree[-1], host))
        return tuple(reductions)


def _cut(layer: Layer, chip: Chip, n_pixels: int) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    """Cut a layer's (unrolled) weight matrix into row and column blocks."""
    assert layer.weights is not None
    assert layer.window is not None
    c_out, kernel_h, _, c_in = layer.weights.values.shape
    n_rows = kernel_h * unrolled(layer.window, n_pixels).kernel_w * c_in
    ima = chip.cluster.ima
    return balanced_spans(n_rows, ima.rows), balanced_spans(n_pixels * c_out, ima.weight_columns)


def _check_widths(chip: Chip) -> None:
    """Refuse cells and DACs that cannot take the network's integers, unless the chip says how it does without."""
    ima, models = chip.cluster.ima, chip.cluster.ima.analog
    if ima.weight_bits * models.slices < INTEGER_BITS and models.cells is None:
        raise MappingError(
            f"chip: cluster.ima.weight_bits: weights have {INTEGER_BITS} bits, the chip takes {models.slices} x "
            f"{ima.weight_bits}; use more columns per weight (analog.slices), let cells round them (analog.cells: "
            f"rounding) or set it to {INTEGER_BITS} or more"
        )
    if ima.dac_bits < INTEGER_BITS and models.dac is None:
        raise MappingError(
            f"chip: cluster.ima.dac_bits: activations have {INTEGER_BITS} bits, the chip takes {ima.dac_bits}; "
            f"let it round them (analog.dac: rounding) or set it to {INTEGER_BITS} or more"
        )


def _cluster_shortage(mapping: Mapping, demand: int) -> Shortage:
    chip, network = mapping.chip, mapping.network
    seen: set[int] = set()
    terms: list[tuple[str, int]] = []
    for layer in mapping.layers:  # a shared cluster counts for the layer that brought it
        terms.append((layer.layer.name, len(set(layer.clusters) - seen)))
        seen |= set(layer.clusters)
    others = demand - len(seen)
    if others:
        terms.append(("residuals and gaps", others))
    return Shortage(
        resource="clusters",
        unit="clusters",
        demand=demand,
        bound=chip.n_clusters,
        terms=tuple(sorted((term for term in terms if term[1]), key=lambda term: -term[1])),
        levers=_levers(network, chip, demand, chip.n_clusters),
    )


def crossbar_shortage(network: Network, chip: Chip, n_clusters: int) -> Shortage:
    """Report that not even one copy of every layer fits ``n_clusters`` crossbars."""
    ima = chip.cluster.ima
    terms = [(layer.name, _least_crossbars(layer, ima.rows, ima.weight_columns)) for layer in network.layers]
    demand = sum(amount for _, amount in terms)
    return Shortage(
        resource="crossbars",
        unit="crossbars",
        demand=demand,
        bound=n_clusters,
        terms=tuple(sorted((term for term in terms if term[1]), key=lambda term: -term[1])),
        levers=_levers(network, chip, demand, n_clusters),
    )


def _levers(network: Network, chip: Chip, demand: int, bound: int) -> tuple[str, ...]:
    """Say what would help; ``bound`` is the chip's number of clusters, or fewer if the policy allows no more."""
    ima = chip.cluster.ima
    least = sum(_least_crossbars(layer, ima.rows, ima.weight_columns) for layer in network.layers)
    doubled = sum(_least_crossbars(layer, 2 * ima.rows, 2 * ima.weight_columns) for layer in network.layers)
    levers = []
    if demand > chip.n_clusters:
        levers.append(f"a chip with at least {demand} clusters (topology.levels: larger fan_out)")
    if bound < chip.n_clusters:
        levers.append(f"a policy that allows at least {demand} clusters (clusters)")
    if least <= bound:
        levers.append(f"fewer copies and clusters of their own in the policy: one copy of all takes {least} crossbars")
    if doubled <= bound:
        levers.append(f"crossbars of {2 * ima.rows} x {2 * ima.columns} (cluster.ima), of which {doubled} would do")
    return (*levers, "a smaller network")


def _least_crossbars(layer: Layer, rows: int, columns: int) -> int:
    if layer.weights is None:
        return 0
    c_out = len(layer.weights.values)
    return len(balanced_spans(layer.weights.values.size // c_out, rows)) * len(balanced_spans(c_out, columns))
