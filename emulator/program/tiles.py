"""Which input tiles a firing needs: the arithmetic of sliding windows over tiles along the image width."""

from dataclasses import dataclass

from emulator.network.graph import Window


@dataclass(frozen=True, slots=True)
class Tiling:
    """A feature map of ``width`` columns cut into tiles of ``tile_width`` (the last may be narrower)."""

    width: int
    tile_width: int

    @property
    def n_tiles(self) -> int:
        """Tiles per image."""
        return -(-self.width // self.tile_width)

    def tile_widths(self) -> tuple[int, ...]:
        """Columns of each tile."""
        return tuple(min(self.tile_width, self.width - tile * self.tile_width) for tile in range(self.n_tiles))


@dataclass(frozen=True, slots=True)
class Consumption:
    """The ``need`` and ``freed`` tables of a channel and the room they ask for (see ``Channel``)."""

    need: tuple[int, ...]
    freed: tuple[int, ...]

    @property
    def double_buffer(self) -> int:
        """Tokens that must fit so that the next firing's input loads while the present one runs."""
        n_tokens = self.freed[-1]
        held = (0, *self.freed[:-1])  # given back before firing p starts
        following = (*self.need[1:], n_tokens + self.need[0])  # what firing p + 1 waits for
        return max(after - before for after, before in zip(following, held, strict=True))


def consume_tiles(source: Tiling, target: Tiling, window: Window | None, kernel_columns: range) -> Consumption:
    """Tell which tiles of ``source`` each tile of ``target`` needs and which it gives back.

    Args:
        source: tiling of the input feature map.
        target: tiling of the output feature map.
        window: the layer's window, None for an element-wise layer.
        kernel_columns: the kernel columns in use (a row block may need only some of them).
    """
    stride, pad = (window.stride_w, window.pad_left) if window else (1, 0)
    last_kernel, first_kernel = max(kernel_columns), min(kernel_columns)
    need: list[int] = []
    freed: list[int] = []
    done = 0
    for columns in target.tile_widths():
        done += columns
        last_input = min(source.width - 1, (done - 1) * stride - pad + last_kernel)
        next_first_input = min(source.width, max(0, done * stride - pad + first_kernel))
        need.append(max(0, last_input // source.tile_width + 1))
        freed.append(next_first_input // source.tile_width)
    # The last firing waits for the rest of the image and gives it all back, so that every image starts from empty.
    need[-1] = freed[-1] = source.n_tiles
    return Consumption(tuple(need), tuple(min(f, n) for f, n in zip(freed, need, strict=True)))
