"""What each layer got and why: the mapping's choices beside the load that they leave on IMAs and cores."""

from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from emulator.mapping.mapping import LayerMapping, Mapping
from emulator.mapping.policy import OptimizePolicy, Policy
from emulator.optimize.bound import relaxed_bound
from emulator.program.dataflow import Program
from launch.tables import new_table, render
from traces.schema import ActorKind, Resource

_PS_PER_US = 1e6
_US_PER_S = 1e6


@dataclass(frozen=True, slots=True)
class LayerLoad:
    """One layer's choices, and the time per image of its busiest units.

    Attributes:
        reduction: additions per stage of the reduction tree, and whether on clusters of their own.
        residual: where the residual of an addition waits.
        alone_us: time per image that one copy (for a convolution, one of its crossbars) would take for all tiles: why a
            layer has as many copies as it has.
        ima_us, cores_us: time per image of the busiest IMA and of the busiest cores that work for the layer, whatever
            else they do included; None without such.
    """

    layer: str
    copies: int
    sharing: str
    tile_width: int
    pixels_per_mvm: int
    reduction: str
    residual: str
    clusters: int
    alone_us: float
    ima_us: float | None
    cores_us: float | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """A mapping explained.

    Attributes:
        bottleneck: the layer with the busiest unit, and the unit.
        expected_images_per_second: the throughput at which that unit would never rest.
        bound_clusters: clusters that the bound is about: those of a search's budget, else those used.
        bound_pixels_per_mvm: pixels per MVM that the bound allows: as many as the search may use, else as this mapping
            uses at most.
        bound_images_per_second: what no mapping within these limits exceeds (see ``relaxed_bound``).
    """

    layers: tuple[LayerLoad, ...]
    bottleneck: str
    unit: str
    expected_images_per_second: float
    bound_clusters: int
    bound_pixels_per_mvm: int
    bound_images_per_second: float | None


def explain(mapping: Mapping, program: Program, policy: Policy) -> Explanation:
    """Work out the static load of a mapping; what waits for what, only the timing plane knows.

    Args:
        mapping: the mapping.
        program: its program.
        policy: what asked for it; the budget of a search is what its bound is about.
    """
    load: dict[tuple[int, Resource], int] = {}
    for actor in program.actors:
        if actor.resource is not Resource.NONE:
            key = actor.site, actor.resource
            load[key] = load.get(key, 0) + sum(actor.durations_ps)
    layers = [_layer_load(mapping, program, i, load) for i in range(len(mapping.layers))]
    times = {(each.layer, unit): us for each in layers for unit, us in (("IMA", each.ima_us), ("cores", each.cores_us))}
    (bottleneck, unit), slowest_us = max(
        ((key, us) for key, us in times.items() if us is not None), key=lambda item: item[1]
    )
    n_clusters, most_pixels = mapping.n_clusters_used, max(mapped.pixels_per_mvm for mapped in mapping.layers)
    if isinstance(policy, OptimizePolicy):
        n_clusters, most_pixels = min(policy.clusters, mapping.chip.n_clusters), policy.pixels_per_mvm
    bound = relaxed_bound(mapping.network, mapping.chip, n_clusters, most_pixels)
    return Explanation(
        layers=tuple(layers),
        bottleneck=bottleneck,
        unit=unit,
        expected_images_per_second=_US_PER_S / slowest_us,
        bound_clusters=n_clusters,
        bound_pixels_per_mvm=most_pixels,
        bound_images_per_second=bound.images_per_second if bound else None,
    )


def _layer_load(mapping: Mapping, program: Program, layer_id: int, load: dict[tuple[int, Resource], int]) -> LayerLoad:
    mapped = mapping.layers[layer_id]
    units = {(actor.site, actor.resource) for actor in program.actors if actor.layer_id == layer_id}

    def busiest_us(resource: Resource) -> float | None:
        return max((load[unit] / _PS_PER_US for unit in units if unit[1] is resource), default=None)

    return LayerLoad(
        layer=mapped.layer.name,
        copies=mapped.n_copies,
        sharing=mapped.choice.sharing or "turns",
        tile_width=mapped.tile_width,
        pixels_per_mvm=mapped.pixels_per_mvm,
        reduction=_reduction(mapped),
        residual=_residual(mapping, mapped, program, layer_id),
        clusters=len(mapped.clusters),
        alone_us=_alone_us(program, layer_id),
        ima_us=busiest_us(Resource.IMA),
        cores_us=busiest_us(Resource.CORES),
    )


def _alone_us(program: Program, layer_id: int) -> float:
    """Sum over the copies of a layer, for a convolution those of its first block."""
    sharing = [
        actor
        for actor in program.actors
        if actor.layer_id == layer_id
        and actor.kind not in (ActorKind.REDUCE, ActorKind.STORE)
        and actor.row_block == actor.column_block == 0
    ]
    return sum(sum(actor.durations_ps) for actor in sharing) / _PS_PER_US


def _reduction(mapped: LayerMapping) -> str:
    tree = [each.node.stage for each in mapped.reductions if each.copy == 0 and each.column_block == 0]
    if len(mapped.blocks) == 0 or max(block.row_block for block in mapped.blocks) == 0:
        return "-"
    own = " own" if mapped.choice.reduction and mapped.choice.reduction.clusters else ""
    return " + ".join(str(tree.count(stage)) for stage in sorted(set(tree))) + own


def _residual(mapping: Mapping, mapped: LayerMapping, program: Program, layer_id: int) -> str:
    if not any(actor.layer_id == layer_id and actor.kind is ActorKind.ADD for actor in program.actors):
        return "-"
    if mapped.store is None:
        return "consumer L1"
    if mapped.store.sites == (mapping.chip.n_clusters,):
        return "HBM"
    return f"{len(mapped.store.sites)} spare"


def explanation_to_json(explanation: Explanation) -> dict[str, Any]:
    """Return an explanation as plain values."""
    return asdict(explanation)


def explanation_to_text(explanation: Explanation) -> str:
    """Return an explanation as a table and a few sentences."""
    table: Table = new_table("What each layer got, and the time per image of its busiest units")
    table.add_column("layer", no_wrap=True)
    table.add_column("copies", justify="right", no_wrap=True)
    for heading in ("tile", "pixels", "reduction", "residual", "clusters", "alone us", "IMA us", "cores us"):
        table.add_column(heading, justify="left" if heading in ("reduction", "residual") else "right")
    for each in explanation.layers:
        table.add_row(
            each.layer, f"{each.copies}{' strips' if each.copies > 1 and each.sharing == 'strips' else ''}",
            str(each.tile_width), str(each.pixels_per_mvm), each.reduction, each.residual, str(each.clusters),
            f"{each.alone_us:.1f}", *("-" if us is None else f"{us:.1f}" for us in (each.ima_us, each.cores_us)),
        )  # fmt: skip
    expected = f"{explanation.expected_images_per_second:,.0f} images/s"
    sentence = f"Expected bottleneck: the {explanation.unit} of {explanation.bottleneck}; never resting, it would allow"
    about = "alone: if one copy did it all; IMA, cores: of the busiest ones, whatever else they do included"
    lines = [render(table, width=124), f"({about})", f"{sentence} {expected}."]
    if explanation.bound_images_per_second is not None:
        n_pixels = explanation.bound_pixels_per_mvm
        pixels = f"at most {n_pixels} pixels" if n_pixels > 1 else "1 pixel"
        lines.append(
            f"No mapping onto {explanation.bound_clusters} clusters with {pixels} per MVM exceeds "
            f"{explanation.bound_images_per_second:,.0f} images/s in steady state (everything but MVMs free)."
        )
    return "\n".join(lines)
