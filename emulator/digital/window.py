"""The sliding window of a convolution or pool, and the view of a feature map through it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Window:
    """The sliding window of a convolution or pool, in pixels; padding is (top, left, bottom, right)."""

    kernel_h: int
    kernel_w: int
    stride_h: int = 1
    stride_w: int = 1
    pad_top: int = 0
    pad_left: int = 0
    pad_bottom: int = 0
    pad_right: int = 0

    @property
    def is_padded(self) -> bool:
        """Tell whether any side is padded."""
        return bool(self.pad_top or self.pad_left or self.pad_bottom or self.pad_right)

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Return (height, width) of the output over an input of the given size; less than 1 if the window is larger."""
        padded_h = height + self.pad_top + self.pad_bottom
        padded_w = width + self.pad_left + self.pad_right
        return (padded_h - self.kernel_h) // self.stride_h + 1, (padded_w - self.kernel_w) // self.stride_w + 1


def padded(x: NDArray[Any], window: Window, value: float) -> NDArray[Any]:
    """Pad a (height, width, channels) feature map on all sides with ``value``."""
    if not window.is_padded:
        return x
    rows, columns = (window.pad_top, window.pad_bottom), (window.pad_left, window.pad_right)
    return np.pad(x, (rows, columns, (0, 0)), constant_values=value)


def patches(x: NDArray[Any], window: Window) -> NDArray[Any]:
    """View an already padded feature map through the window.

    Args:
        x: (height, width, channels), padding included.
        window: the window; its padding is not applied again.

    Returns:
        A read-only view (out height, out width, kernel_h, kernel_w, channels).
    """
    view = np.lib.stride_tricks.sliding_window_view(x, (window.kernel_h, window.kernel_w), axis=(0, 1))
    return view[:: window.stride_h, :: window.stride_w].transpose(0, 1, 3, 4, 2)
