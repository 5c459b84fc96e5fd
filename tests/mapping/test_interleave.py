"""Interleaving renames clusters and changes nothing else; copies at the same place of the image become neighbours."""

from hypothesis import HealthCheck, given, settings
from support.networks import a_chip, a_policy, a_small_workload, cases

from emulator.chip.spec import Chip
from emulator.errors import MappingError
from emulator.mapping.interleave import interleave
from emulator.mapping.mapping import LayerMapping
from emulator.mapping.place import map_network
from emulator.mapping.policy import ManualPolicy
from emulator.network.graph import Network


def duties(layers: tuple[LayerMapping, ...]) -> dict[int, list[str]]:
    """List what every cluster does, in words that do not name clusters."""
    found: dict[int, list[str]] = {}
    for each in layers:
        name = each.layer.name
        for block in each.blocks:
            found.setdefault(block.cluster, []).append(f"{name} {block.copy} {block.row_block} {block.column_block}")
        for i, reduction in enumerate(each.reductions):
            found.setdefault(reduction.cluster, []).append(f"{name} adds {i}")
        for i, worker in enumerate(each.workers):
            found.setdefault(worker, []).append(f"{name} works {i}")
    return found


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(case=cases())
def test_it_only_gives_clusters_other_numbers(case: tuple[Network, Chip, ManualPolicy]) -> None:
    network, chip, policy = case
    try:
        layers = map_network(network, chip, policy.model_copy(update={"placement": "contiguous"})).layers
    except MappingError:
        return
    before, after = duties(layers), duties(interleave(layers))
    assert sorted(after) == list(range(len(before)))
    assert sorted(before.values()) == sorted(after.values())


def test_copies_at_the_same_place_of_the_image_are_neighbors() -> None:
    policy = a_policy(copies=2, placement="interleaved", layers={"conv5": {"copies": 1}})
    mapping = a_small_workload(a_chip(rows=256, columns=64, fan_outs=(8, 8)), 1, policy).mapping
    halves = [
        {block.cluster for each in mapping.layers if each.n_copies == 2 for block in each.blocks if block.copy == copy}
        for copy in range(2)
    ]
    assert all(halves)
    assert max(halves[0]) < min(halves[1])
