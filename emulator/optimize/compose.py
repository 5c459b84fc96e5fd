"""Put a manual policy together from the options chosen for the convolutions and a few choices for everything else."""

from dataclasses import dataclass
from typing import Any

from emulator.chip.spec import Chip
from emulator.mapping.policy import ManualPolicy
from emulator.mapping.split import balanced_spans
from emulator.network.graph import Layer, Network, Op
from emulator.optimize.options import Option
from emulator.program.durations import ChipTiming


@dataclass(frozen=True, slots=True)
class Style:
    """Choices that a mapping makes for all layers alike.

    Attributes:
        fan_in: most partial sums added at once.
        core_share: time per image that a copy of a layer done by the cores may take at most, as a share of the slowest
            convolution's. Such a layer has at least as many copies as the convolution that it shares tiles with.
        residual: where residuals wait.
        spare_clusters: clusters for residuals, if they wait there.
        sharing: see ``ManualPolicy``; by the width of the feature map that is made.
        guests: whether layers done by the cores live on the clusters of the convolution before them.
        placement: see ``ManualPolicy``.
    """

    fan_in: int
    core_share: float
    residual: str
    spare_clusters: int
    guests: bool
    sharing: dict[int, str]
    placement: str


def compose_policy(network: Network, chip: Chip, options: list[Option], style: Style, input_tile: int) -> ManualPolicy:
    """Return the policy that gives every convolution its option and every other layer what ``style`` says.

    Args:
        network: the network.
        chip: the chip.
        options: one per convolution.
        style: choices for everything else.
        input_tile: columns of the image per tile.
    """
    chosen = {option.layer: option for option in options}
    slowest_ps = max(option.time_ps for option in options)
    layers: dict[str, Any] = {}
    makers = {layer.output: layer for layer in network.layers}
    for layer in network.layers:
        sharing = style.sharing.get(network.feature_maps[layer.output].width, "turns")
        option = chosen.get(layer.name)
        if option is not None:
            layers[layer.name] = {
                "copies": option.copies,
                "sharing": sharing,
                "tile_width": option.tile_width,
                "pixels_per_mvm": option.pixels_per_mvm,
            }
            continue
        host = _convolution_before(layer, makers)
        neighbors = [host] if layer.window is None else _convolutions_after(layer, network)
        copies = [chosen[each.name].copies for each in neighbors if each is not None]
        tile_width = chosen[host.name].tile_width if layer.window is None and host is not None else 1
        least = _least_copies(layer, network, chip, slowest_ps * style.core_share, tile_width)
        n_tiles = -(-network.feature_maps[layer.output].width // tile_width)
        layers[layer.name] = {
            "copies": min(n_tiles, max([least, *copies])),
            "sharing": sharing,
            "tile_width": tile_width,
        }
        if style.guests and host is not None:
            layers[layer.name]["guest_of"] = host.name
    policy: dict[str, Any] = {
        "kind": "manual",
        "copies": 1,
        "tile_width": input_tile,
        "pixels_per_mvm": 1,
        "sharing": "turns",
        "reduction": {"fan_in": style.fan_in},
        "residual": style.residual,
        "spare_clusters": style.spare_clusters,
        "placement": style.placement,
        "layers": layers,
    }
    return ManualPolicy.model_validate(policy)


def _convolution_before(layer: Layer, makers: dict[str, Layer]) -> Layer | None:
    """Return the convolution that feeds a layer, along its first input that has one."""
    for name in layer.inputs:
        maker = makers.get(name)
        while maker is not None and maker.op is not Op.CONV:
            maker = makers.get(maker.inputs[0])
        if maker is not None:
            return maker
    return None


def _convolutions_after(layer: Layer, network: Network) -> list[Layer]:
    """Return the convolutions that read a layer's output."""
    return [other for other in network.layers if other.op is Op.CONV and layer.output in other.inputs]


def _least_copies(layer: Layer, network: Network, chip: Chip, limit_ps: float, tile_width: int) -> int:
    """Return the fewest copies of a layer done by the cores that keep each within ``limit_ps`` per image."""
    output, timing = network.feature_maps[layer.output], ChipTiming(chip)
    n_tiles = -(-output.width // tile_width)
    n_elements = output.height * min(tile_width, output.width) * output.channels
    firing_ps = timing.core_cycles(timing.digital_work(layer.op, n_elements, layer.window)) * timing.cycle_ps
    n_each = max(1, int(limit_ps // firing_ps))
    return len(balanced_spans(n_tiles, n_each))
