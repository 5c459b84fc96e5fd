"""The mapping: which cluster holds which block of weights and does which digital work."""

from dataclasses import dataclass

from emulator.chip.spec import Chip
from emulator.errors import MappingError
from emulator.mapping.policy import Policy
from emulator.mapping.report import Shortage
from emulator.mapping.split import TreeNode
from emulator.network.geometry import Span
from emulator.network.graph import Layer, Network


class InfeasibleError(MappingError):
    """A network does not fit; ``shortages`` says by how much and what would help."""

    def __init__(self, network: str, chip: str, shortages: tuple[Shortage, ...]) -> None:
        self.shortages = shortages
        super().__init__(f"{network} does not fit {chip}:\n" + "\n".join(str(shortage) for shortage in shortages))


@dataclass(frozen=True, slots=True)
class Block:
    """A crossbar-sized piece of a layer's weight matrix and the cluster that holds it."""

    row_block: int
    column_block: int
    rows: Span
    columns: Span
    cluster: int


@dataclass(frozen=True, slots=True)
class Reduction:
    """One node of the reduction tree of a column block; leaves and nodes are row blocks and earlier tree nodes."""

    column_block: int
    columns: Span
    node: TreeNode
    is_root: bool
    cluster: int


@dataclass(frozen=True, slots=True, eq=False)
class LayerMapping:
    """Where one layer lives.

    A convolution has ``blocks`` (column blocks outermost) and, per column block, the ``reductions`` in tree order
    (root last). A digital layer has a ``cluster`` of its own.
    """

    layer: Layer
    tile_width: int
    blocks: tuple[Block, ...] = ()
    reductions: tuple[Reduction, ...] = ()
    cluster: int | None = None

    @property
    def clusters(self) -> tuple[int, ...]:
        """The clusters of the layer, in placement order, without repeats."""
        if self.cluster is not None:
            return (self.cluster,)
        return tuple(dict.fromkeys(block.cluster for block in self.blocks))


@dataclass(frozen=True, slots=True, eq=False)
class Mapping:
    """A network on a chip under a policy; ``layers`` follows ``network.layers``."""

    network: Network
    chip: Chip
    policy: Policy
    layers: tuple[LayerMapping, ...]

    @property
    def n_clusters_used(self) -> int:
        """Clusters that hold at least one block or digital layer."""
        return len({cluster for layer in self.layers for cluster in layer.clusters})

    def cell_utilization(self, layer: LayerMapping) -> float:
        """Share of the crossbar cells of ``layer``'s blocks that hold a weight, 0 for a digital layer."""
        ima = self.chip.cluster.ima
        cells = sum(len(block.rows) * len(block.columns) for block in layer.blocks)
        return cells / (len(layer.blocks) * ima.rows * ima.columns) if layer.blocks else 0.0
