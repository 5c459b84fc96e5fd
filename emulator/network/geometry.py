"""Where the rows of a weight matrix lie in the kernel: rows run in the order (kernel_h, kernel_w, c_in)."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from emulator.network.graph import Window


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open interval ``[start, end)`` of rows, columns or channels."""

    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start

    def __and__(self, other: "Span") -> "Span":
        start = max(self.start, other.start)
        return Span(start, max(start, min(self.end, other.end)))


def input_channels(rows: Span, n_channels: int) -> Span:
    """Tell which input channels the rows touch: part of them if the rows lie in one kernel position, else all."""
    if rows.start // n_channels == (rows.end - 1) // n_channels:
        return Span(rows.start % n_channels, (rows.end - 1) % n_channels + 1)
    return Span(0, n_channels)


def kernel_columns(rows: Span, window: Window, n_channels: int) -> range:
    """Tell which columns of the kernel the rows touch, as the smallest range that covers them."""
    positions = range(rows.start // n_channels, (rows.end - 1) // n_channels + 1)
    columns = [position % window.kernel_w for position in positions]
    return range(min(columns), max(columns) + 1)


def kernel_runs(rows: Span, window: Window, n_channels: int) -> Iterator[tuple[int, Span]]:
    """Cut the rows by kernel row: yields (kernel row, span in the flattened (kernel_w, c_in) of that row).

    In an HWC feature map each such span is one contiguous run of memory per output pixel.
    """
    per_kernel_row = window.kernel_w * n_channels
    start = rows.start
    while start < rows.end:
        kernel_row = start // per_kernel_row
        end = min(rows.end, (kernel_row + 1) * per_kernel_row)
        yield kernel_row, Span(start - kernel_row * per_kernel_row, end - kernel_row * per_kernel_row)
        start = end


def unrolled(window: Window, n_pixels: int) -> Window:
    """Widen a window so that it covers what ``n_pixels`` neighbouring outputs of a row read, in one step."""
    kernel_w = window.kernel_w + (n_pixels - 1) * window.stride_w
    return replace(window, kernel_w=kernel_w, stride_w=n_pixels * window.stride_w)
