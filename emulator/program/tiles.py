"""Who makes which tile, and which input tiles a firing needs: sliding windows over tiles along the image width."""

from dataclasses import dataclass

from emulator.network.geometry import Span, unrolled
from emulator.network.graph import Window


@dataclass(frozen=True, slots=True)
class Share:
    """The tiles that one of ``count`` copies makes: every ``count``-th, or a strip of neighbours."""

    index: int = 0
    count: int = 1
    is_strip: bool = False

    def tiles(self, n_tiles: int) -> range:
        """Tiles of an image that this copy makes, in order."""
        if self.is_strip:
            return range(n_tiles * self.index // self.count, n_tiles * (self.index + 1) // self.count)
        return range(self.index, n_tiles, self.count)


@dataclass(frozen=True, slots=True)
class Tiling:
    """A feature map of ``width`` columns cut into tiles of ``tile_width`` (the last may be narrower)."""

    width: int
    tile_width: int

    @property
    def n_tiles(self) -> int:
        """Tiles per image."""
        return -(-self.width // self.tile_width)

    def span(self, tile: int) -> Span:
        """Columns of a tile."""
        return Span(tile * self.tile_width, min(self.width, (tile + 1) * self.tile_width))

    def widths(self, share: Share) -> tuple[int, ...]:
        """Columns of each tile of a share."""
        return tuple(len(self.span(tile)) for tile in share.tiles(self.n_tiles))


@dataclass(frozen=True, slots=True)
class Reach:
    """Which input columns an output column needs: ``[x * stride + first, x * stride + last]``.

    With ``n_pixels`` above one, groups of so many outputs are made in one step and read what the group needs.
    """

    stride: int
    first: int
    last: int
    n_pixels: int = 1

    def of(self, outputs: Span) -> tuple[int, int]:
        """First and last input column needed for some output columns; may lie in the padding."""
        last_group = outputs.start + (len(outputs) - 1) // self.n_pixels * self.n_pixels
        return outputs.start * self.stride + self.first, last_group * self.stride + self.last


def reach_of(window: Window | None, kernel_columns: range | None = None, n_pixels: int = 1) -> Reach:
    """Return the reach of a layer.

    Args:
        window: the layer's window, None for an element-wise layer.
        kernel_columns: the columns of the (unrolled) kernel in use, all by default; a row block may need only some.
        n_pixels: neighbouring outputs made in one step.
    """
    if window is None:
        return Reach(1, 0, 0)
    columns = kernel_columns or range(unrolled(window, n_pixels).kernel_w)
    return Reach(window.stride_w, columns[0] - window.pad_left, columns[-1] - window.pad_left, n_pixels)


@dataclass(frozen=True, slots=True)
class Consumption:
    """What a consumer takes from one producer: the tables of a channel (see ``Channel``).

    Attributes:
        tokens: the producer's firings whose tiles travel.
        tiles: the same as tiles of the feature map.
    """

    tokens: tuple[int, ...]
    tiles: tuple[int, ...]
    need: tuple[int, ...]
    freed: tuple[int, ...]

    @property
    def double_buffer(self) -> int:
        """Tokens that must fit so that the next firing's input loads while the present one runs."""
        held = (0, *self.freed[:-1])  # given back before firing p starts
        following = (*self.need[1:], len(self.tokens) + self.need[0])  # what firing p + 1 waits for
        return max(1, *(after - before for after, before in zip(following, held, strict=True)))


def consume(source: Tiling, producer: Share, target: Tiling, consumer: Share, reach: Reach) -> Consumption | None:
    """Tell which tiles a producer sends to a consumer, when each is needed and when it is given back.

    Args:
        source: tiling of the input feature map.
        producer: the share of it that the producer makes.
        target: tiling of the output feature map.
        consumer: the share of it that the consumer makes.
        reach: which input columns an output column needs.

    Returns:
        None if the consumer needs nothing of what the producer makes.
    """
    read = _tiles_read(source, target, consumer, reach)
    wanted = {tile for tiles in read for tile in tiles}
    if not wanted:  # nothing but padding: the last tile still says that there is an image
        wanted, read = {source.n_tiles - 1}, [*read[:-1], range(source.n_tiles - 1, source.n_tiles)]
    made = producer.tiles(source.n_tiles)
    mine = [tile for tile in made if tile in wanted]
    if not mine:
        return None
    need: list[int] = []
    freed: list[int] = []
    n_needed = 0
    for tiles in read:
        while n_needed < len(mine) and tiles and mine[n_needed] <= tiles[-1]:
            n_needed += 1
        need.append(n_needed)
    n_kept = len(mine)
    for tiles in reversed(read):
        freed.append(n_kept)
        while n_kept > 0 and tiles and mine[n_kept - 1] >= tiles[0]:
            n_kept -= 1
    tokens = tuple(map(made.index, mine))
    return Consumption(tokens, tuple(mine), tuple(need), tuple(reversed(freed)))


def _tiles_read(source: Tiling, target: Tiling, consumer: Share, reach: Reach) -> list[range]:
    """Tiles of the source that each firing of the consumer reads, empty where it reads nothing but padding."""
    read: list[range] = []
    for tile in consumer.tiles(target.n_tiles):
        first, last = reach.of(target.span(tile))
        first, last = max(0, first), min(source.width - 1, last)
        read.append(range(first // source.tile_width, last // source.tile_width + 1) if first <= last else range(0))
    return read
