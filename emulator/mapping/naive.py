"""Policy ``naive``: one copy of every layer, placed cluster after cluster along the pipeline."""

from emulator.chip.spec import Chip
from emulator.errors import MappingError
from emulator.mapping.mapping import Block, InfeasibleError, LayerMapping, Mapping, Reduction
from emulator.mapping.policy import Policy
from emulator.mapping.report import Shortage
from emulator.mapping.split import balanced_spans, reduction_tree
from emulator.network.graph import Layer, Network

#: Bits of quantised weights and activations.
INTEGER_BITS = 8


def map_network(network: Network, chip: Chip, policy: Policy) -> Mapping:
    """Map ``network`` onto ``chip``.

    Raises:
        MappingError: the crossbars or DACs are too narrow for the network's 8-bit integers.
        InfeasibleError: the network needs more clusters than the chip has; carries the report.
    """
    _check_widths(chip)
    layers: list[LayerMapping] = []
    next_cluster = 0
    for layer in network.layers:
        mapped = _map_layer(layer, network, chip, policy, next_cluster)
        next_cluster += len(mapped.clusters)
        layers.append(mapped)
    mapping = Mapping(network, chip, policy, tuple(layers))
    if next_cluster > chip.n_clusters:
        raise InfeasibleError(network.name, chip.name, (_cluster_shortage(mapping),))
    return mapping


def _check_widths(chip: Chip) -> None:
    """Refuse cells and DACs that cannot take the network's integers: nothing here slices them."""
    ima = chip.cluster.ima
    for key, bits in (("weight_bits", ima.weight_bits), ("dac_bits", ima.dac_bits)):
        if bits < INTEGER_BITS:
            raise MappingError(
                f"{chip.name}: cluster.ima.{key}: weights and activations have {INTEGER_BITS} bits, the chip takes "
                f"{bits}, and bits cannot be sliced over several cells or steps yet; set it to {INTEGER_BITS} or more"
            )


def _map_layer(layer: Layer, network: Network, chip: Chip, policy: Policy, first_cluster: int) -> LayerMapping:
    tile_width = min(policy.tile_width, network.feature_maps[layer.output].width)
    if layer.weights is None:
        return LayerMapping(layer, tile_width, cluster=first_cluster)
    ima = chip.cluster.ima
    n_columns = layer.weights.values.shape[0]
    row_spans = balanced_spans(layer.weights.values.size // n_columns, ima.rows)
    tree = reduction_tree(len(row_spans), policy.reduction_fan_in)
    blocks: list[Block] = []
    reductions: list[Reduction] = []
    for j, columns in enumerate(balanced_spans(n_columns, ima.columns)):
        base = first_cluster + j * len(row_spans)
        blocks += [Block(i, j, rows, columns, base + i) for i, rows in enumerate(row_spans)]
        reductions += [Reduction(j, columns, node, node is tree[-1], base + node.host) for node in tree]
    return LayerMapping(layer, tile_width, tuple(blocks), tuple(reductions))


def _cluster_shortage(mapping: Mapping) -> Shortage:
    chip, network = mapping.chip, mapping.network
    demand = mapping.n_clusters_used
    terms = sorted(((layer.layer.name, len(layer.clusters)) for layer in mapping.layers), key=lambda term: -term[1])
    ima = chip.cluster.ima
    doubled = sum(
        len(balanced_spans(layer.weights.values[0].size, 2 * ima.rows))
        * len(balanced_spans(len(layer.weights.values), 2 * ima.columns))
        if layer.weights is not None
        else 1
        for layer in network.layers
    )
    return Shortage(
        resource="clusters",
        unit="clusters",
        demand=demand,
        bound=chip.n_clusters,
        terms=tuple(terms),
        levers=(
            f"a chip with at least {demand} clusters (topology.levels: larger fan_out)",
            f"crossbars of {2 * ima.rows} x {2 * ima.columns} (cluster.ima), with which {doubled} clusters would do",
            "a smaller network",
        ),
    )
