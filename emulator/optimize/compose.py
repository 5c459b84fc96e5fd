"""Put a manual policy together from the options chosen for groups of layers and a few choices for everything else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emulator.mapping.policy import ManualPolicy
from emulator.network.graph import Layer, Network
from emulator.optimize.groups import CoreModel, Group, tile_width_behind
from emulator.optimize.options import Option


@dataclass(frozen=True, slots=True)
class Style:
    """Choices that a mapping makes for all layers alike.

    Attributes:
        fan_in: most partial sums added at once.
        fan_in_of: the same for single layers.
        core_share: time per image that a copy of a guest may take at most, as a share of the slowest convolution's.
            A guest has at least as many copies as the convolution that it shares tiles with.
        residual: where residuals wait.
        spare_clusters: clusters for residuals, if they wait there.
        sharing: see ``ManualPolicy``; by the width of the feature map that is made.
        placement: see ``ManualPolicy``.
        input_tile: columns of the image per tile.
    """

    fan_in: int
    fan_in_of: Mapping[str, int]
    core_share: float
    residual: str
    spare_clusters: int
    sharing: Mapping[int, str]
    placement: str
    input_tile: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a search decides: an option per group, and the style."""

    options: tuple[Option, ...]
    style: Style


def compose_policy(network: Network, groups: Sequence[Group], candidate: Candidate) -> ManualPolicy:
    """Return the policy that gives every group of a network its option and all else what the style says."""
    options, style = candidate.options, candidate.style
    chosen = {option.layer: option for option in options}
    limit_ps = max(option.time_ps for option in options) * style.core_share
    layers: dict[str, dict[str, Any]] = {}
    for group, option in zip(groups, options, strict=True):
        layers[group.model.layer.name] = {
            "copies": option.copies,
            "tile_width": option.tile_width,
            "pixels_per_mvm": option.pixels_per_mvm,
        }
        if option.layer in style.fan_in_of:
            layers[option.layer]["reduction"] = {"fan_in": style.fan_in_of[option.layer]}
        for i, each in enumerate(group.behind):
            width = tile_width_behind(each, option)
            layer: dict[str, Any] = {"tile_width": width}
            if option.own:
                layer["copies"] = option.own[i]
            else:
                readers = [chosen[reader.name].copies for reader in _convolutions_after(each.layer, network)]
                beside = [option.copies] if each.layer.window is None else readers
                layer["copies"] = _guest_copies(each, width, limit_ps, beside, option.n_clusters)
                layer["guest_of"] = option.layer
            layers[each.layer.name] = layer
    ordered = {layer.name: layers.get(layer.name, {}) | _sharing(layer, network, style) for layer in network.layers}
    policy: dict[str, Any] = {
        "kind": "manual",
        "copies": 1,
        "tile_width": style.input_tile,
        "pixels_per_mvm": 1,
        "sharing": "turns",
        "reduction": {"fan_in": style.fan_in},
        "residual": style.residual,
        "spare_clusters": style.spare_clusters,
        "placement": style.placement,
        "layers": ordered,
    }
    return ManualPolicy.model_validate(policy)


def _guest_copies(each: CoreModel, tile_width: int, limit_ps: float, beside: Sequence[int], n_hosts: int) -> int:
    """Return copies of a guest that meet the limit and its neighbors' copies, an even load of the hosts if they can."""
    n_tiles = -(-each.n_columns // tile_width)
    copies = min(n_tiles, max([each.least_copies(limit_ps, tile_width), *beside]))
    return min(copies, n_hosts)


def _sharing(layer: Layer, network: Network, style: Style) -> dict[str, str]:
    return {"sharing": style.sharing.get(network.feature_maps[layer.output].width, "turns")}


def _convolutions_after(layer: Layer, network: Network) -> list[Layer]:
    """Return the convolutions that read a layer's output."""
    return [other for other in network.layers if other.weights is not None and layer.output in other.inputs]
