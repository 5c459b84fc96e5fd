"""The mapping: which cluster holds which block of weights and does which digital work."""

from dataclasses import dataclass

from emulator.chip.spec import Chip
from emulator.errors import MappingError
from emulator.mapping.policy import LayerPolicy, ManualPolicy
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
    """A crossbar-sized piece of a layer's weight matrix and the cluster that holds this copy of it.

    With ``pixels_per_mvm`` above one the matrix is that of the unrolled kernel: ``(kernel_h, unrolled kernel_w, c_in)``
    rows and ``(pixel, c_out)`` columns.
    """

    copy: int
    row_block: int
    column_block: int
    rows: Span
    columns: Span
    cluster: int


@dataclass(frozen=True, slots=True)
class Reduction:
    """One node of the reduction tree of a copy's column block; it adds row blocks and earlier tree nodes."""

    copy: int
    column_block: int
    columns: Span
    node: TreeNode
    is_root: bool
    cluster: int


@dataclass(frozen=True, slots=True)
class Store:
    """Where the residual of an addition waits.

    Attributes:
        operand: the addition's operand that waits.
        sites: clusters (or the site of the HBM) that hold its tiles in turn.
    """

    operand: int
    sites: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class LayerMapping:
    """Where one layer lives.

    A convolution has ``blocks`` (copies outermost, then column blocks) and, per copy and column block, the
    ``reductions`` in tree order (root last). A layer done by the cores has one of ``workers`` per copy.
    """

    layer: Layer
    choice: LayerPolicy
    tile_width: int
    n_copies: int
    pixels_per_mvm: int = 1
    blocks: tuple[Block, ...] = ()
    reductions: tuple[Reduction, ...] = ()
    workers: tuple[int, ...] = ()
    store: Store | None = None

    @property
    def clusters(self) -> tuple[int, ...]:
        """The clusters of the layer, in the order of their duties, without repeats; stores are not among them."""
        holding = [block.cluster for block in self.blocks]
        adding = [reduction.cluster for reduction in self.reductions]
        return tuple(dict.fromkeys((*holding, *adding, *self.workers)))


@dataclass(frozen=True, slots=True, eq=False)
class Mapping:
    """A network on a chip under a policy; ``layers`` follows ``network.layers``."""

    network: Network
    chip: Chip
    policy: ManualPolicy
    layers: tuple[LayerMapping, ...]

    @property
    def clusters_used(self) -> frozenset[int]:
        """Clusters that hold a block, do digital work or keep residuals."""
        hbm = self.chip.n_clusters
        working = {cluster for layer in self.layers for cluster in layer.clusters}
        storing = {site for layer in self.layers if layer.store for site in layer.store.sites if site != hbm}
        return frozenset(working | storing)

    @property
    def n_clusters_used(self) -> int:
        """Number of ``clusters_used``."""
        return len(self.clusters_used)

    def cell_utilization(self, layer: LayerMapping) -> float:
        """Share of the crossbar cells of ``layer``'s blocks that hold a weight, 0 for a digital layer."""
        if not layer.blocks or layer.layer.weights is None:
            return 0.0
        ima = self.chip.cluster.ima
        n_weights = layer.layer.weights.values.size * layer.n_copies * layer.pixels_per_mvm * ima.columns_per_weight
        return n_weights / (len(layer.blocks) * ima.rows * ima.columns)
