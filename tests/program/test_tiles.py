"""Tile consumption against brute force over pixels."""

from hypothesis import given
from hypothesis import strategies as st

from emulator.network.graph import Window
from emulator.program.tiles import Tiling, consume_tiles


@st.composite
def windows_and_tilings(draw: st.DrawFn) -> tuple[Window, Tiling, Tiling, range]:
    kernel, stride = draw(st.integers(1, 7)), draw(st.integers(1, 4))
    pad_left, pad_right = draw(st.integers(0, kernel - 1)), draw(st.integers(0, kernel - 1))
    width = draw(st.integers(kernel, 40))
    out_width = (width + pad_left + pad_right - kernel) // stride + 1
    window = Window(1, kernel, 1, stride, 0, pad_left, 0, pad_right)
    first = draw(st.integers(0, kernel - 1))
    used = range(first, draw(st.integers(first + 1, kernel)))
    source, target = Tiling(width, draw(st.integers(1, 9))), Tiling(out_width, draw(st.integers(1, 9)))
    return window, source, target, used


def tiles_read(window: Window, source: Tiling, columns: range, used: range) -> set[int]:
    inputs = (x * window.stride_w - window.pad_left + k for x in columns for k in used)
    return {x // source.tile_width for x in inputs if 0 <= x < source.width}


@given(windows_and_tilings())
def test_a_firing_waits_for_what_it_reads_and_gives_back_nothing_that_is_read_later(
    case: tuple[Window, Tiling, Tiling, range],
) -> None:
    window, source, target, used = case
    consumption = consume_tiles(source, target, window, used)
    starts = range(0, target.width, target.tile_width)
    reads = [tiles_read(window, source, range(x, min(target.width, x + target.tile_width)), used) for x in starts]
    for phase, read in enumerate(reads):
        assert consumption.need[phase] >= max(read, default=-1) + 1
        still_read = set().union(*reads[phase + 1 :])
        assert consumption.freed[phase] <= min(still_read, default=source.n_tiles)
    for phase, read in enumerate(reads[:-1]):  # and no more than it reads; the last firing drains the image
        assert consumption.need[phase] == max(max(tiles, default=-1) for tiles in reads[: phase + 1]) + 1 or not read
    assert consumption.need[-1] == consumption.freed[-1] == source.n_tiles


def test_a_3x3_window_of_single_columns_holds_three_and_loads_a_fourth() -> None:
    window = Window(3, 3, 1, 1, 1, 1, 1, 1)
    consumption = consume_tiles(Tiling(8, 1), Tiling(8, 1), window, range(3))
    assert consumption.need == (2, 3, 4, 5, 6, 7, 8, 8)
    assert consumption.freed == (0, 1, 2, 3, 4, 5, 6, 8)
    assert consumption.double_buffer == 4


def test_an_element_wise_layer_double_buffers_two_tiles() -> None:
    consumption = consume_tiles(Tiling(10, 3), Tiling(10, 3), None, range(1))
    assert consumption.need == (1, 2, 3, 4)
    assert consumption.double_buffer == 2
