"""Tile consumption against brute force over pixels."""

from hypothesis import given
from hypothesis import strategies as st

from emulator.network.graph import Window
from emulator.program.tiles import Share, Tiling, consume, reach_of


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


@given(case=windows_and_tilings(), copies=st.tuples(st.integers(1, 4), st.integers(1, 4)), data=st.data())
def test_a_firing_waits_for_what_it_reads_and_gives_back_nothing_that_is_read_later(
    case: tuple[Window, Tiling, Tiling, range], copies: tuple[int, int], data: st.DataObject
) -> None:
    window, source, target, used = case
    n_consumers = min(copies[1], target.n_tiles)
    consumer = Share(data.draw(st.integers(0, n_consumers - 1)), n_consumers)
    spans = [target.span(tile) for tile in consumer.tiles(target.n_tiles)]
    reads = [tiles_read(window, source, range(span.start, span.end), used) for span in spans]
    sent: set[int] = set()
    for k in range(copies[0]):
        producer = Share(k, copies[0])
        taken = consume(source, producer, target, consumer, reach_of(window, used))
        if taken is None:
            continue
        sent |= set(taken.tiles)
        assert [producer.tiles(source.n_tiles)[token] for token in taken.tokens] == list(taken.tiles)
        for phase, read in enumerate(reads):
            held = set(taken.tiles[taken.freed[phase - 1] if phase else 0 : taken.need[phase]])
            assert read & set(taken.tiles) <= held
        assert taken.need[-1] == taken.freed[-1] == len(taken.tokens)
        assert list(taken.need) == sorted(taken.need)
        assert all(freed <= need for freed, need in zip(taken.freed, taken.need, strict=True))
    everything = set().union(*reads)
    assert everything <= sent
    assert sent


@given(
    kernel=st.integers(1, 5), stride=st.integers(1, 3), width=st.integers(1, 20), n_pixels=st.integers(1, 4),
    tiles=st.integers(1, 3),
)  # fmt: skip
def test_pixels_made_together_are_waited_for_together(
    kernel: int, stride: int, width: int, n_pixels: int, tiles: int
) -> None:
    window = Window(1, kernel, 1, stride)
    outputs = Tiling(width, n_pixels * tiles)
    reach = reach_of(window, None, n_pixels)
    for tile in range(outputs.n_tiles):
        span = outputs.span(tile)
        n_groups = -(-len(span) // n_pixels)
        first, last = reach.of(span)
        assert first == span.start * stride
        assert last == (span.start + n_groups * n_pixels - 1) * stride + kernel - 1


def test_a_3x3_window_of_single_columns_holds_three_and_loads_a_fourth() -> None:
    window = Window(3, 3, 1, 1, 1, 1, 1, 1)
    taken = consume(Tiling(8, 1), Share(), Tiling(8, 1), Share(), reach_of(window))
    assert taken is not None
    assert taken.need == (2, 3, 4, 5, 6, 7, 8, 8)
    assert taken.freed == (0, 1, 2, 3, 4, 5, 6, 8)
    assert taken.double_buffer == 4


def test_the_second_of_three_copies_gets_only_the_columns_around_its_own() -> None:
    window = Window(3, 3, 1, 1, 1, 1, 1, 1)
    taken = consume(Tiling(9, 1), Share(), Tiling(9, 1), Share(1, 3), reach_of(window))
    assert taken is not None
    assert taken.tiles == (0, 1, 2, 3, 4, 5, 6, 7, 8)
    from_first = consume(Tiling(9, 1), Share(0, 3), Tiling(9, 1), Share(1, 3), reach_of(window))
    assert from_first is not None
    assert (from_first.tokens, from_first.need) == ((0, 1, 2), (1, 2, 3))
    strided = consume(Tiling(9, 1), Share(), Tiling(5, 1), Share(0, 5), reach_of(Window(1, 1, 2, 2)))
    assert strided is not None
    assert strided.tiles == (0,)


def test_an_element_wise_layer_double_buffers_two_tiles() -> None:
    taken = consume(Tiling(10, 3), Share(), Tiling(10, 3), Share(), reach_of(None))
    assert taken is not None
    assert taken.need == (1, 2, 3, 4)
    assert taken.double_buffer == 2
