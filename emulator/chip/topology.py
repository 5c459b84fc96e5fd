"""The interconnect: sites, ports and the routes between them.

Sites are the clusters, then the HBM. Every edge of the tree has four ports: up and down, each for writes and for reads.
The up ports of a subtree carry only what leaves it and the down ports only what enters it, which is what lets ranks own
whole subtrees. Routes are computed, not stored: a chip of a hundred thousand clusters costs nothing until it is used.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from emulator.chip.spec import Chip, Level, TreeTopology

Access = Literal["write", "read"]
Direction = Literal["up", "down"]

_LANES: tuple[tuple[Direction, Access], ...] = (("up", "write"), ("down", "write"), ("up", "read"), ("down", "read"))


@dataclass(frozen=True, slots=True)
class Port:
    """One direction of one edge, for one kind of access.

    ``first_cluster`` to ``end_cluster`` is the subtree below the edge; for the HBM's link both are ``n_clusters``.
    """

    name: str
    level: str
    direction: Direction
    access: Access
    width_bytes_per_cycle: int
    latency_cycles: int
    first_cluster: int
    end_cluster: int


class Routes(NamedTuple):
    """Many routes at once: that of pair ``i`` is ``port[start[i] : start[i + 1]]``."""

    start: NDArray[np.int64]
    port: NDArray[np.int64]


class Topology(Protocol):
    """What the program needs to know of an interconnect, whatever its shape."""

    @property
    def n_clusters(self) -> int:
        """Number of clusters; the HBM is the site behind the last one."""
        ...

    @property
    def ports(self) -> Sequence[Port]:
        """All ports, in the order of their ids."""
        ...

    @property
    def subtree_sizes(self) -> Sequence[int]:
        """Clusters of a subtree whose ports carry only what enters or leaves it, for every level of such."""
        ...

    def route(self, source: int, target: int, access: Access = "write") -> tuple[int, ...]:
        """Port ids on the way from one site to another, in the order travelled; empty within a site."""
        ...

    def latency_cycles(self, source: int, target: int) -> int:
        """Sum of the port latencies on the way."""
        ...

    def routes(self, sources: NDArray[np.int64], targets: NDArray[np.int64], reads: NDArray[np.bool_]) -> Routes:
        """``route`` of many pairs of sites, where ``reads`` tells reads from writes."""
        ...

    def widths_and_latencies(self, ports: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Bytes per cycle and latency in cycles of many ports."""
        ...


class Tree:
    """A tree of routers with the clusters as leaves and the HBM as one more leaf of the root."""

    def __init__(self, topology: TreeTopology, hbm: Level) -> None:
        self._levels = (*topology.levels, hbm)
        self.n_clusters = topology.n_clusters
        # Clusters below one edge of each level; edges are numbered level by level, the HBM's link last.
        self._sizes: list[int] = []
        self._first_edge: list[int] = []
        size, n_edges = self.n_clusters, 0
        for level in topology.levels:
            size //= level.fan_out
            self._sizes.append(size)
            self._first_edge.append(n_edges)
            n_edges += self.n_clusters // size
        self._hbm_edge = n_edges
        self.ports: Sequence[Port] = _Ports(self)

    @property
    def subtree_sizes(self) -> Sequence[int]:
        """Clusters below one edge of each level."""
        return self._sizes

    @property
    def n_ports(self) -> int:
        """Four per edge."""
        return 4 * (self._hbm_edge + 1)

    def route(self, source: int, target: int, access: Access = "write") -> tuple[int, ...]:
        """Port ids up to the lowest common ancestor and down again."""
        up, down = self._edges(source), self._edges(target)
        shared = 0
        while shared < min(len(up), len(down)) and up[shared] == down[shared]:
            shared += 1
        up_lane, down_lane = _LANES.index(("up", access)), _LANES.index(("down", access))
        return (
            *(4 * edge + up_lane for edge in reversed(up[shared:])),
            *(4 * edge + down_lane for edge in down[shared:]),
        )

    def latency_cycles(self, source: int, target: int) -> int:
        """Sum of the port latencies on the way."""
        return sum(self._levels[self._level_of(port // 4)].latency_cycles for port in self.route(source, target))

    def routes(self, sources: NDArray[np.int64], targets: NDArray[np.int64], reads: NDArray[np.bool_]) -> Routes:
        """``route`` of many pairs of sites: up to the level where the edges from the root are the same, and down."""
        up, down = self._edges_of(sources), self._edges_of(targets)
        apart = np.maximum.accumulate(up != down, axis=1)  # from the root down: once apart, always apart
        lane = 2 * reads[:, None].astype(np.int64)
        hops = np.concatenate((4 * up[:, ::-1] + lane, 4 * down + lane + 1), axis=1)
        used = np.concatenate(((apart & (up >= 0))[:, ::-1], apart & (down >= 0)), axis=1)
        start = np.zeros(len(sources) + 1, np.int64)
        np.cumsum(used.sum(axis=1), out=start[1:])
        return Routes(start, hops[used])

    def widths_and_latencies(self, ports: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Bytes per cycle and latency in cycles of many ports."""
        edges = ports // 4
        depth = np.searchsorted(np.array(self._first_edge), edges, side="right") - 1
        depth[edges == self._hbm_edge] = len(self._levels) - 1
        widths = np.array([level.bytes_per_cycle for level in self._levels], np.int64)
        latencies = np.array([level.latency_cycles for level in self._levels], np.int64)
        return widths[depth], latencies[depth]

    def _edges_of(self, sites: NDArray[np.int64]) -> NDArray[np.int64]:
        """Edges between the root and many sites, from the root down; the HBM has one, and -1 for the rest."""
        edges = np.array(self._first_edge) + sites[:, None] // np.array(self._sizes)
        edges[sites == self.n_clusters] = -1
        edges[sites == self.n_clusters, 0] = self._hbm_edge
        return np.asarray(edges, np.int64)

    def port(self, port_id: int) -> Port:
        """Describe one port."""
        edge, lane = divmod(port_id, 4)
        depth = self._level_of(edge)
        level = self._levels[depth]
        direction, access = _LANES[lane]
        if edge == self._hbm_edge:
            first, end, place = self.n_clusters, self.n_clusters, "hbm"
        else:
            index = edge - self._first_edge[depth]
            first, end = index * self._sizes[depth], (index + 1) * self._sizes[depth]
            place = f"{level.name}[{first}..{end - 1}]" if end - first > 1 else f"{level.name}[{first}]"
        name = f"{place} {direction} {access}"
        return Port(name, level.name, direction, access, level.bytes_per_cycle, level.latency_cycles, first, end)

    def _edges(self, site: int) -> list[int]:
        """Edges between the root and a site, from the root down."""
        if site == self.n_clusters:
            return [self._hbm_edge]
        return [first + site // size for first, size in zip(self._first_edge, self._sizes, strict=True)]

    def _level_of(self, edge: int) -> int:
        if edge == self._hbm_edge:
            return len(self._levels) - 1
        return bisect_right(self._first_edge, edge) - 1


class _Ports(Sequence[Port]):
    """The ports of a tree, made when looked at."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def __len__(self) -> int:
        return self._tree.n_ports

    def __getitem__(self, index: int) -> Port:  # type: ignore[override]  # slices are not needed
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self._tree.port(index)


def build_topology(chip: Chip) -> Topology:
    """Build the interconnect of a chip."""
    hbm = chip.hbm
    link = Level.model_construct(
        name="HBM link", fan_out=1, bytes_per_cycle=hbm.bytes_per_cycle, latency_cycles=hbm.latency_cycles
    )
    return Tree(chip.topology, link)
