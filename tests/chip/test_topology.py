"""Routes through trees of any shape, against the definition of a tree."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from support.networks import a_chip

from emulator.chip.topology import Port, Topology, build_topology


@st.composite
def routes(draw: st.DrawFn) -> tuple[Topology, int, int]:
    fan_outs = tuple(draw(st.lists(st.integers(1, 6), min_size=1, max_size=5)))
    topology = build_topology(a_chip(rows=8, columns=8, fan_outs=fan_outs))
    sites = st.integers(0, topology.n_clusters)
    return topology, draw(sites), draw(sites)


def serves(port: Port, site: int, n_clusters: int) -> bool:
    if port.first_cluster == port.end_cluster:
        return site == n_clusters
    return port.first_cluster <= site < port.end_cluster


@given(routes())
def test_a_route_leaves_every_subtree_of_the_source_and_enters_every_one_of_the_target(
    case: tuple[Topology, int, int],
) -> None:
    topology, source, target = case
    ports = [topology.ports[i] for i in topology.route(source, target)]
    directions = [port.direction for port in ports]
    assert directions == sorted(directions, reverse=True)  # up before down
    for port in ports:
        inside = [serves(port, site, topology.n_clusters) for site in (source, target)]
        assert inside == ([True, False] if port.direction == "up" else [False, True])
    expected = {
        (port.direction, port.first_cluster, port.end_cluster, port.level)
        for port in topology.ports
        if port.access == "write"
        and serves(port, source, topology.n_clusters) != serves(port, target, topology.n_clusters)
        and (port.direction == "up") == serves(port, source, topology.n_clusters)
    }
    assert {(p.direction, p.first_cluster, p.end_cluster, p.level) for p in ports} == expected
    assert len(ports) == len(expected)


@given(routes())
def test_the_way_back_is_as_long_and_on_other_ports(case: tuple[Topology, int, int]) -> None:
    topology, source, target = case
    there, back = topology.route(source, target), topology.route(target, source)
    assert len(there) == len(back)
    assert not set(there) & set(back)
    assert topology.latency_cycles(source, target) == topology.latency_cycles(target, source)
    assert not set(there) & set(topology.route(source, target, "read"))
    assert topology.latency_cycles(source, target) == sum(topology.ports[i].latency_cycles for i in there)


def test_a_far_pair_of_the_published_tree_passes_every_level_twice() -> None:
    topology = build_topology(a_chip(rows=8, columns=8, fan_outs=(8, 4, 4, 4)))
    assert topology.n_clusters == 512
    assert [topology.ports[i].level for i in topology.route(0, 511)] == [
        *(f"level {i}" for i in (3, 2, 1, 0)),
        *(f"level {i}" for i in (0, 1, 2, 3)),
    ]
    assert len(topology.route(0, 1)) == 2
    assert next(topology.ports[i].level for i in topology.route(512, 5, "read")) == "HBM link"
    assert topology.route(7, 7) == ()


def test_a_chip_of_a_hundred_thousand_clusters_costs_nothing_until_used() -> None:
    topology = build_topology(a_chip(rows=8, columns=8, fan_outs=(25, 16, 16, 16)))
    assert topology.n_clusters == 102_400
    assert len(topology.ports) == 4 * (25 + 25 * 16 + 25 * 256 + 102_400 + 1)
    assert topology.ports[topology.route(3, 102_399)[-1]].first_cluster == 102_399


@given(routes(), st.lists(st.tuples(st.integers(0, 9999), st.integers(0, 9999), st.booleans()), max_size=20))
def test_many_routes_at_once_are_the_routes_one_by_one(
    case: tuple[Topology, int, int], pairs: list[tuple[int, int, bool]]
) -> None:
    topology, n_sites = case[0], case[0].n_clusters + 1
    sources, targets = (np.array([pair[i] % n_sites for pair in pairs], np.int64) for i in (0, 1))
    reads = np.array([pair[2] for pair in pairs], np.bool_)
    found = topology.routes(sources, targets, reads)
    for i, (source, target, read) in enumerate(zip(sources.tolist(), targets.tolist(), reads, strict=True)):
        route = topology.route(source, target, "read" if read else "write")
        assert tuple(found.port[found.start[i] : found.start[i + 1]].tolist()) == route
    widths, latencies = topology.widths_and_latencies(np.arange(len(topology.ports)))
    assert widths.tolist() == [port.width_bytes_per_cycle for port in topology.ports]
    assert latencies.tolist() == [port.latency_cycles for port in topology.ports]
