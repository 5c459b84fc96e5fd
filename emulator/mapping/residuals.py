"""Which operand of an addition is the residual: the one that takes the shorter way and so has to wait."""

from emulator.network.graph import Network, Op


def residual_operands(network: Network) -> dict[str, int]:
    """Return, by the name of each addition, the operand that is made after fewer layers than the other.

    Additions of two branches of equal depth have no residual and are left out.
    """
    depths = {network.input: 0}
    residuals: dict[str, int] = {}
    for layer in network.layers:
        operand_depths = [depths[name] for name in layer.inputs]
        depths[layer.output] = 1 + max(operand_depths)
        if layer.op is Op.ADD and min(operand_depths) < max(operand_depths):
            residuals[layer.name] = operand_depths.index(min(operand_depths))
    return residuals
