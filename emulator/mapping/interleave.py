"""Number clusters anew so that copies which work on the same part of the image are neighbours."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from emulator.mapping.mapping import LayerMapping


def interleave(layers: Sequence[LayerMapping]) -> tuple[LayerMapping, ...]:
    """Return the same mapping with its clusters renumbered.

    Successive layers with several copies form a section. Within a section clusters are ordered by how far along the
    image their copy works, then along the pipeline; the sections themselves stay in the order of the pipeline. Clusters
    that only keep residuals stay last.
    """
    keys: dict[int, tuple[int, float, int]] = {}
    sections = groupby(layers, key=lambda mapped: mapped.n_copies > 1)
    for section, (_, members) in enumerate(sections):
        for mapped in members:
            for cluster, copy in _copies(mapped):
                keys.setdefault(cluster, (section, (copy + 0.5) / mapped.n_copies, cluster))
    renamed = {cluster: number for number, cluster in enumerate(sorted(keys, key=lambda cluster: keys[cluster]))}
    return tuple(_rename(mapped, renamed) for mapped in layers)


def _copies(mapped: LayerMapping) -> list[tuple[int, int]]:
    """List the clusters of a layer with the copy that each serves."""
    holding = [(block.cluster, block.copy) for block in mapped.blocks]
    adding = [(reduction.cluster, reduction.copy) for reduction in mapped.reductions]
    return [*holding, *adding, *((cluster, copy) for copy, cluster in enumerate(mapped.workers))]


def _rename(mapped: LayerMapping, renamed: dict[int, int]) -> LayerMapping:
    store = mapped.store
    return replace(
        mapped,
        blocks=tuple(replace(block, cluster=renamed[block.cluster]) for block in mapped.blocks),
        reductions=tuple(replace(each, cluster=renamed[each.cluster]) for each in mapped.reductions),
        workers=tuple(renamed[cluster] for cluster in mapped.workers),
        store=store and replace(store, sites=tuple(renamed.get(site, site) for site in store.sites)),
    )
