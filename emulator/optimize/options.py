"""What a convolution may be given, and what each choice costs: the menu from which a mapping is put together."""

from dataclasses import dataclass

from emulator.chip.spec import Chip
from emulator.mapping.split import balanced_spans
from emulator.network.geometry import unrolled
from emulator.network.graph import FeatureMap, Layer, Network
from emulator.program.durations import ChipTiming
from emulator.program.tiles import Share, Tiling


@dataclass(frozen=True, slots=True)
class Option:
    """One way to map a convolution and the layers done by the cores behind it.

    Attributes:
        n_clusters: clusters of all copies, and those of the layers behind it if they have their own.
        time_ps: time per image of the busiest IMA or, if longer, of the busiest cores.
        lag_ps: time of one firing and what the cores do with its result, by which the layer delays the next one.
        own: for each layer behind it how many clusters of its own it gets; empty if they are guests on its clusters.
    """

    layer: str
    copies: int
    tile_width: int
    pixels_per_mvm: int
    n_clusters: int
    time_ps: int
    lag_ps: int
    own: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Menu:
    """Limits of the choices.

    Attributes:
        max_tile_width: widest tile, in groups of pixels made at once.
        max_pixels: most pixels that a crossbar makes at once.
        max_clusters: most clusters for one layer.
        is_even: only numbers of copies that get equally many tiles each; strips of successive layers then meet.
        may_own: whether layers done by the cores may have clusters of their own.
    """

    max_tile_width: int
    max_pixels: int
    max_clusters: int
    is_even: bool
    may_own: bool


class LayerModel:
    """The costs of one convolution on one chip."""

    def __init__(self, layer: Layer, network: Network, chip: Chip) -> None:
        assert layer.weights is not None
        assert layer.window is not None
        self.layer = layer
        self.output: FeatureMap = network.feature_maps[layer.output]
        self._window, self._shape = layer.window, layer.weights.values.shape
        self._ima, self._cycle_ps = chip.cluster.ima, chip.cycle_ps
        self._timing = ChipTiming(chip)

    @property
    def shape(self) -> tuple[object, ...]:
        """What decides on the costs of the convolution alone."""
        return self._shape, self._window, self.output.shape

    def most_pixels(self, limit: int) -> int:
        """Pixels that fit the columns of one crossbar, at most ``limit``."""
        return max(1, min(limit, self._ima.weight_columns // self.output.channels, self.output.width))

    def blocks(self, n_pixels: int) -> tuple[int, int]:
        """Row and column blocks of one copy."""
        c_out, kernel_h, _, c_in = self._shape
        n_rows = kernel_h * unrolled(self._window, n_pixels).kernel_w * c_in
        n_columns = n_pixels * c_out
        return len(balanced_spans(n_rows, self._ima.rows)), len(balanced_spans(n_columns, self._ima.weight_columns))

    def block_shape(self, n_pixels: int) -> tuple[int, int]:
        """Rows and columns of the largest block."""
        (n_rows, n_columns), (c_out, kernel_h, _, c_in) = self.blocks(n_pixels), self._shape
        rows = kernel_h * unrolled(self._window, n_pixels).kernel_w * c_in
        return -(-rows // n_rows), -(-n_pixels * c_out // n_columns)

    def job_ps(self, n_pixels: int) -> int:
        """Time between two MVMs of the slowest block."""
        return self._ima.job_interval_ps(*self.block_shape(n_pixels), self._cycle_ps)

    def core_ps(self, n_pixels: int) -> int:
        """Core time per image of adding all partial sums and requantising them, in all clusters together."""
        n_elements = self.output.height * self.output.width * self.output.channels
        n_rows, _ = self.blocks(n_pixels)
        return self._timing.core_cycles(self._timing.reduce_work(n_elements, n_rows, is_root=True)) * self._cycle_ps

    def options(self, menu: Menu) -> list[Option]:
        """Return the choices for the convolution alone, those that are worse than others among them."""
        found: list[Option] = []
        for n_pixels in range(1, self.most_pixels(menu.max_pixels) + 1):
            n_blocks = self.blocks(n_pixels)[0] * self.blocks(n_pixels)[1]
            for groups in range(1, menu.max_tile_width + 1):
                tiling = Tiling(self.output.width, min(n_pixels * groups, self.output.width))
                if tiling.tile_width % n_pixels:
                    continue
                useful = _useful_copies(tiling.n_tiles, menu.max_clusters // n_blocks)
                evenly = [n for n in useful if tiling.n_tiles % n == 0] if menu.is_even else useful
                found += [self._cost(tiling, copies, n_pixels) for copies in evenly]
        return found

    def _cost(self, tiling: Tiling, copies: int, n_pixels: int) -> Option:
        n_rows, n_columns = self.blocks(n_pixels)
        rows, columns = self.block_shape(n_pixels)
        jobs = [self.output.height * -(-width // n_pixels) for width in tiling.widths(Share(0, copies))]
        firings_ps = [self._timing.mvm_ps(n, rows, columns) for n in jobs]
        fan_in = -(-n_rows // max(1, n_rows // 2))
        adding = self._timing.reduce_work(max(jobs) * columns, fan_in, is_root=True)
        adding_ps = self._timing.core_cycles(adding) * self._cycle_ps
        return Option(
            layer=self.layer.name,
            copies=copies,
            tile_width=tiling.tile_width,
            pixels_per_mvm=n_pixels,
            n_clusters=copies * n_rows * n_columns,
            time_ps=max(sum(firings_ps), adding_ps * len(jobs)),
            lag_ps=max(firings_ps) + adding_ps,
        )


def _useful_copies(n_tiles: int, limit: int) -> list[int]:
    """Numbers of copies that shorten the longest share: the least number for each length of it."""
    lengths = {-(-n_tiles // copies) for copies in range(1, min(n_tiles, max(1, limit)) + 1)}
    return sorted({-(-n_tiles // length) for length in lengths})
