"""A mapping for people and for programs."""

from collections.abc import Sequence
from typing import Any

from emulator.mapping.mapping import LayerMapping, Mapping
from launch.tables import new_table, render


def mapping_to_json(mapping: Mapping) -> dict[str, Any]:
    """Return a mapping as plain values."""
    return {
        "network": mapping.network.name,
        "chip": mapping.chip.name,
        "policy": mapping.policy.model_dump(),
        "clusters_used": mapping.n_clusters_used,
        "clusters_total": mapping.chip.n_clusters,
        "crossbars_used": sum(len(layer.blocks) for layer in mapping.layers),
        "gmac_per_image": mapping.network.total_macs / 1e9,
        "layers": [_layer_to_json(mapping, layer) for layer in mapping.layers],
    }


def _layer_to_json(mapping: Mapping, mapped: LayerMapping) -> dict[str, Any]:
    return {
        "name": mapped.layer.name,
        "op": str(mapped.layer.op),
        "macs": mapping.network.macs(mapped.layer),
        "output_shape": list(mapping.network.feature_maps[mapped.layer.output].shape),
        "row_blocks": 1 + max((block.row_block for block in mapped.blocks), default=-1),
        "column_blocks": 1 + max((block.column_block for block in mapped.blocks), default=-1),
        "reduction_stages": max((reduction.node.stage for reduction in mapped.reductions), default=0),
        "clusters": list(mapped.clusters),
        "cell_utilization": mapping.cell_utilization(mapped),
    }


def mapping_to_text(mapping: Mapping) -> str:
    """Return a mapping as a table."""
    summary = mapping_to_json(mapping)
    table = new_table(
        f"{summary['network']} on {summary['chip']}: {summary['clusters_used']} of {summary['clusters_total']} "
        f"clusters, {summary['crossbars_used']} crossbars"
    )
    for heading in ("layer", "operation", "output (h, w, c)"):
        table.add_column(heading)
    for heading in ("row x column blocks", "stages", "clusters", "cells used"):
        table.add_column(heading, justify="right")
    for layer in summary["layers"]:
        has_crossbars = layer["row_blocks"] > 0
        table.add_row(
            layer["name"],
            layer["op"],
            " x ".join(map(str, layer["output_shape"])),
            f"{layer['row_blocks']} x {layer['column_blocks']}" if has_crossbars else "-",
            str(layer["reduction_stages"]) if has_crossbars else "-",
            _cluster_range(layer["clusters"]),
            f"{layer['cell_utilization']:.1%}" if has_crossbars else "-",
        )
    note = "N of A..B: N clusters, the first of which is A and the last B, with those of other layers between them"
    is_scattered = any(" of " in _cluster_range(layer["clusters"]) for layer in summary["layers"])
    return render(table) + (f"\n\n{note}" if is_scattered else "")


def _cluster_range(clusters: Sequence[int]) -> str:
    """Write clusters as a range, with their number where they are not neighbors."""
    first, last = min(clusters), max(clusters)
    if first == last:
        return str(first)
    number = "" if last - first + 1 == len(clusters) else f"{len(clusters)} of "
    return f"{number}{first}..{last}"
