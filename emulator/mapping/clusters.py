"""The clusters of a chip as they are handed out: fresh ones in order, and the idle halves of those already taken."""

from collections.abc import Iterator, Sequence
from math import prod


class ClusterPool:
    """Counts clusters from the first; whether there are enough is for the caller to see in ``n_taken``.

    Args:
        fan_outs: children per node of the chip's interconnect, from the root down.
        aligned: start every request for fresh clusters in a quadrant that holds it whole, leaving gaps.
    """

    def __init__(self, fan_outs: Sequence[int], *, aligned: bool) -> None:
        self.n_taken = 0
        # Clusters below a node of each level, smallest quadrant first.
        self._quadrants = [prod(fan_outs[i:]) for i in range(len(fan_outs) - 1, 0, -1)] if aligned else []
        self._has_crossbar_in_use: set[int] = set()
        self._core_duties: dict[int, int] = {}

    def fresh(self, n: int) -> Iterator[int]:
        """Take ``n`` clusters that nobody has yet."""
        for size in self._quadrants:
            if n <= size:
                if self.n_taken % size + n > size:
                    self.n_taken += size - self.n_taken % size
                break
        first = self.n_taken
        self.n_taken += n
        return iter(range(first, first + n))

    def for_crossbars(self, n: int, hosts: Sequence[int]) -> list[int]:
        """Take ``n`` crossbars, those that ``hosts`` do not use first."""
        chosen = [host for host in hosts if host not in self._has_crossbar_in_use][:n]
        chosen += self.fresh(n - len(chosen))
        self._has_crossbar_in_use.update(chosen)
        return chosen

    def for_cores(self, n: int, hosts: Sequence[int]) -> list[int]:
        """Take the cores of ``n`` clusters: fresh ones, or the ``hosts`` with the fewest duties.

        Hosts are cut into ``n`` groups of neighbours and each group gives one, so that work stays near its input.
        """
        chosen: list[int] = []
        for group in _groups(hosts, n) if hosts else ([cluster] for cluster in self.fresh(n)):
            chosen.append(min(group, key=lambda host: (self._core_duties.get(host, 0), host)))
            self.note_core_duty(chosen[-1])
        return chosen

    def note_core_duty(self, cluster: int) -> None:
        """Count one more duty of a cluster's cores."""
        self._core_duties[cluster] = self._core_duties.get(cluster, 0) + 1


def _groups(hosts: Sequence[int], n: int) -> Iterator[Sequence[int]]:
    """Cut ``hosts`` into ``n`` groups of neighbours, none of them empty; if there are fewer, they serve repeatedly."""
    for i in range(n):
        begin = len(hosts) * i // n
        yield hosts[begin : max(len(hosts) * (i + 1) // n, begin + 1)]
