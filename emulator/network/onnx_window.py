"""The sliding window of an ONNX Conv or pool node: kernel, stride and padding for a known input size."""

from emulator.errors import NetworkError
from emulator.network.graph import FeatureMap, Window
from emulator.network.raw_model import RawNode


def node_window(node: RawNode, x: FeatureMap, kernel: tuple[int, int]) -> Window:
    """Read the window of ``node`` over ``x``; automatic padding is made explicit.

    Raises:
        NetworkError: the window does not fit the input, or rounding up (ceil_mode) would add a partial window.
    """
    stride_h, stride_w = node.integers("strides", (1, 1))
    top, left, bottom, right = _padding(node, x, kernel, (stride_h, stride_w))
    window = Window(kernel[0], kernel[1], stride_h, stride_w, top, left, bottom, right)
    if min(window.output_size(x.height, x.width)) < 1:
        raise NetworkError(f"{node}: its window of {kernel[0]} x {kernel[1]} is larger than its input {x.name}")
    if node.integer("ceil_mode", 0) and _has_partial_windows(window, x):
        raise NetworkError(f"{node}: ceil_mode=1 adds partial windows over {x.name}; export the model with ceil_mode=0")
    return window


def _padding(
    node: RawNode, x: FeatureMap, kernel: tuple[int, int], stride: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Return (top, left, bottom, right)."""
    mode = str(node.attributes.get("auto_pad", "NOTSET"))
    if mode == "NOTSET":
        top, left, bottom, right = node.integers("pads", (0, 0, 0, 0))
        return top, left, bottom, right
    if mode == "VALID":
        return 0, 0, 0, 0
    low_h, high_h = _same_padding(x.height, kernel[0], stride[0], upper=mode == "SAME_UPPER")
    low_w, high_w = _same_padding(x.width, kernel[1], stride[1], upper=mode == "SAME_UPPER")
    return low_h, low_w, high_h, high_w


def _same_padding(size: int, kernel: int, stride: int, *, upper: bool) -> tuple[int, int]:
    """Split the padding that makes the output ceil(size / stride) long; an odd pixel goes to the upper or lower end."""
    total = max(0, (-(-size // stride) - 1) * stride + kernel - size)
    small, large = total // 2, total - total // 2
    return (small, large) if upper else (large, small)


def _has_partial_windows(window: Window, x: FeatureMap) -> bool:
    slack_h = x.height + window.pad_top + window.pad_bottom - window.kernel_h
    slack_w = x.width + window.pad_left + window.pad_right - window.kernel_w
    return slack_h % window.stride_h != 0 or slack_w % window.stride_w != 0
