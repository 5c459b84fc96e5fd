"""Rows of a weight matrix against their definition: row (kernel_h, kernel_w, c_in), flattened."""

from hypothesis import given
from hypothesis import strategies as st

from emulator.network.geometry import Span, input_channels, kernel_columns, kernel_runs
from emulator.network.graph import Window


@st.composite
def blocks(draw: st.DrawFn) -> tuple[Span, Window, int]:
    kernel_h, kernel_w, n_channels = draw(st.integers(1, 5)), draw(st.integers(1, 5)), draw(st.integers(1, 9))
    n_rows = kernel_h * kernel_w * n_channels
    start = draw(st.integers(0, n_rows - 1))
    return Span(start, draw(st.integers(start + 1, n_rows))), Window(kernel_h, kernel_w), n_channels


@given(blocks())
def test_channels_and_kernel_columns_cover_every_row_of_the_block(case: tuple[Span, Window, int]) -> None:
    rows, window, n_channels = case
    channels, columns = input_channels(rows, n_channels), kernel_columns(rows, window, n_channels)
    for row in range(rows.start, rows.end):
        position, channel = divmod(row, n_channels)
        assert channels.start <= channel < channels.end
        assert position % window.kernel_w in columns


@given(blocks())
def test_kernel_runs_list_the_rows_in_order(case: tuple[Span, Window, int]) -> None:
    rows, window, n_channels = case
    per_kernel_row = window.kernel_w * n_channels
    listed = [
        kernel_row * per_kernel_row + offset
        for kernel_row, run in kernel_runs(rows, window, n_channels)
        for offset in range(run.start, run.end)
    ]
    assert listed == list(range(rows.start, rows.end))


def test_half_a_kernel_position_reads_half_the_channels() -> None:
    assert input_channels(Span(256, 512), 512) == Span(256, 512)
    assert kernel_columns(Span(256, 512), Window(3, 3), 512) == range(1)
