"""Groups: a convolution and the layers done by the cores behind it, which share its clusters or get their own."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from emulator.chip.spec import Chip
from emulator.mapping.split import balanced_spans
from emulator.network.graph import Layer, Network
from emulator.optimize.options import LayerModel, Menu, Option
from emulator.program.durations import ChipTiming


@dataclass(frozen=True, slots=True)
class CoreModel:
    """The costs of one layer done by the cores on one chip.

    Attributes:
        layer: the layer.
        n_columns: width of its output feature map.
        column_ps: core time of one column of it, with the synchronisation.
    """

    layer: Layer
    n_columns: int
    column_ps: int

    def least_copies(self, limit_ps: float, tile_width: int) -> int:
        """Return the fewest copies that keep each within ``limit_ps`` per image, as far as tiles allow."""
        n_tiles = -(-self.n_columns // tile_width)
        return len(balanced_spans(n_tiles, max(1, int(limit_ps // (self.column_ps * tile_width)))))

    def time_ps(self, copies: int, tile_width: int) -> int:
        """Return the time per image of the busiest of so many copies."""
        n_tiles = -(-self.n_columns // tile_width)
        return -(-n_tiles // copies) * tile_width * self.column_ps


def core_model(layer: Layer, network: Network, chip: Chip) -> CoreModel:
    """Work out the costs of a layer done by the cores."""
    output, timing = network.feature_maps[layer.output], ChipTiming(chip)
    work = timing.digital_work(layer.op, output.height * output.channels, layer.window)
    return CoreModel(layer, output.width, timing.core_cycles(work) * timing.cycle_ps)


@dataclass(frozen=True, slots=True)
class Group:
    """A convolution and the layers done by the cores between it and the next convolution."""

    model: LayerModel
    behind: tuple[CoreModel, ...]

    @property
    def behind_ps(self) -> int:
        """Core time per image of all layers behind the convolution."""
        return sum(each.column_ps * each.n_columns for each in self.behind)

    def options(self, menu: Menu, *, dominated: bool = False) -> list[Option]:
        """Return the choices; those that another beats in every respect only if ``dominated``."""
        found: list[Option] = []
        for option in self.model.options(menu):
            tile_widths = [tile_width_behind(each, option) for each in self.behind]
            lag_ps = option.lag_ps + sum(each.column_ps * w for each, w in zip(self.behind, tile_widths, strict=True))
            # Guests: all core work of the group, shared evenly by its clusters.
            work_ps = self.model.core_ps(option.pixels_per_mvm) + self.behind_ps
            guests = replace(option, time_ps=max(option.time_ps, work_ps // option.n_clusters), lag_ps=lag_ps)
            found.append(guests)
            if menu.may_own and self.behind:
                pairs = list(zip(self.behind, tile_widths, strict=True))
                own = tuple(each.least_copies(option.time_ps, w) for each, w in pairs)
                slowest = max(each.time_ps(copies, w) for (each, w), copies in zip(pairs, own, strict=True))
                found.append(
                    replace(
                        option,
                        n_clusters=option.n_clusters + sum(own),
                        time_ps=max(option.time_ps, slowest),
                        lag_ps=lag_ps,
                        own=own,
                    )
                )
        return found if dominated else _undominated(found)


def tile_width_behind(each: CoreModel, option: Option) -> int:
    """Return the tile width of a layer behind a convolution: as the convolution's, or one column behind a window."""
    return min(each.n_columns, option.tile_width if each.layer.window is None else 1)


def make_groups(network: Network, chip: Chip) -> tuple[Group, ...]:
    """Cut a network into groups; layers before the first convolution belong to none."""
    behind: dict[str, list[CoreModel]] = {layer.name: [] for layer in network.layers if layer.weights is not None}
    for layer in network.layers:
        host = None if layer.weights is not None else convolution_before(layer, network)
        if host is not None:
            behind[host.name].append(core_model(layer, network, chip))
    return tuple(
        Group(LayerModel(layer, network, chip), tuple(behind[layer.name]))
        for layer in network.layers
        if layer.weights is not None
    )


def alike(groups: Sequence[Group]) -> list[list[Group]]:
    """Sort groups by the shape of their convolution, those with the most work for the cores first among equals."""
    classes: dict[tuple[object, ...], list[Group]] = {}
    for group in sorted(groups, key=lambda group: -group.behind_ps):
        classes.setdefault(group.model.shape, []).append(group)
    return list(classes.values())


def convolution_before(layer: Layer, network: Network) -> Layer | None:
    """Return the convolution that feeds a layer, along its first input that has one."""
    makers = {each.output: each for each in network.layers}
    for name in layer.inputs:
        maker = makers.get(name)
        while maker is not None and maker.weights is None:
            maker = makers.get(maker.inputs[0])
        if maker is not None:
            return maker
    return None


def _undominated(options: list[Option]) -> list[Option]:
    """Keep the options that no other one beats or equals in clusters, time and lag."""
    ordered = sorted(options, key=lambda o: (o.n_clusters, o.time_ps, o.lag_ps, o.pixels_per_mvm, o.tile_width, o.own))
    kept: list[Option] = []
    for option in ordered:
        if not any(other.time_ps <= option.time_ps and other.lag_ps <= option.lag_ps for other in kept):
            kept.append(option)
    return kept
