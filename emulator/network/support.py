"""What the emulator can express of ONNX, and the one message that refuses the rest."""

from collections.abc import Callable

from emulator.errors import NetworkError
from emulator.network.raw_model import RawModel, RawNode

_FOLDED = ("Flatten", "Reshape", "Squeeze", "Identity", "Dropout")


def refuse_unsupported(model: RawModel) -> None:
    """Check the operator and the attributes of every node.

    Raises:
        NetworkError: lists all offending nodes, each with its operator and the reason, and what is supported.
    """
    reasons = [(node, _reason(node)) for node in model.nodes]
    offending = [f"  {node}: {reason}" for node, reason in reasons if reason]
    if offending:
        raise NetworkError("\n".join(["unsupported nodes:", *offending, f"supported: {SUPPORTED}"]))


def _reason(node: RawNode) -> str | None:
    check = _CHECKS.get(node.operator)
    return "operator not supported" if check is None else check(node)


def _accept(_: RawNode) -> str | None:
    return None


def _conv(node: RawNode) -> str | None:
    if node.integer("group", 1) != 1:
        return f"grouped convolution (group={node.integer('group', 1)})"
    return _window(node)


def _window(node: RawNode) -> str | None:
    kernel = node.integers("kernel_shape", ())
    if kernel and len(kernel) != 2:
        return f"{len(kernel)}-dimensional kernel, expected 2"
    if set(node.integers("dilations", ())) - {1}:
        return f"dilation {list(node.integers('dilations', ()))}"
    return None


def _pool(node: RawNode) -> str | None:
    if len(node.outputs) > 1:
        return "second output (indices)"
    if node.integer("count_include_pad", 0) and any(node.integers("pads", ())):
        return "padding counted in the average (count_include_pad=1)"
    return _window(node)


def _gemm(node: RawNode) -> str | None:
    factors = float(node.attributes.get("alpha", 1.0)), float(node.attributes.get("beta", 1.0))
    if node.integer("transA", 0) or factors != (1.0, 1.0):
        return f"transA={node.integer('transA', 0)}, alpha={factors[0]}, beta={factors[1]}, expected 0, 1, 1"
    return None


_CHECKS: dict[str, Callable[[RawNode], str | None]] = {
    "Conv": _conv,
    "Gemm": _gemm,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "QuantizeLinear": _accept,
    "DequantizeLinear": _accept,
    "MatMul": _accept,
    "GlobalAveragePool": _accept,
    "Add": _accept,
    "Relu": _accept,
} | dict.fromkeys(_FOLDED, _accept)

SUPPORTED = ", ".join(sorted(_CHECKS)) + " (2-d, no groups, no dilation)"
