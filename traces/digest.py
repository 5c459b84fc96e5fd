"""The digest of a trace: equal exactly when the canonical content is equal, however it was split over ranks.

Every record is hashed together with its identity to two 64-bit lanes, and lanes are added modulo 2**64 over all records
of a table. A sum knows no order, so records can come from any rank at any time, and parts can be added up. It guards
against mistakes, not against forgery.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traces.schema import STREAMED_TABLES

_LANE_SEEDS = (0x9E3779B97F4A7C15, 0xD1B54A32D192ED03)


def _mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble 64-bit words (the finaliser of SplitMix64, Steele et al., OOPSLA 2014)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


@dataclass(slots=True)
class Digest:
    """Sums up records; one per rank, added together at the end."""

    counts: dict[str, int] = field(default_factory=dict)
    lanes: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, table: str, columns: Mapping[str, NDArray[Any]]) -> None:
        """Add records of a streamed table; the columns may come in any order."""
        names = [column.name for column in STREAMED_TABLES[table]]
        words = [np.asarray(columns[name]).astype(np.int64).view(np.uint64) for name in names]
        sums = []
        for seed in _LANE_SEEDS:
            state = np.full(len(words[0]), seed, np.uint64)
            for word in words:
                state = _mix(state + word * np.uint64(_LANE_SEEDS[0]))
            sums.append(int(state.sum(dtype=np.uint64)))
        self._add(table, len(words[0]), (sums[0], sums[1]))

    def merge(self, other: "Digest") -> None:
        """Add what another digest has summed up."""
        for table, count in other.counts.items():
            self._add(table, count, other.lanes[table])

    def hexdigest(self, program_hash: str) -> str:
        """Return the digest of everything added, for a run of the given program."""
        tables = [table for table in sorted(self.counts) if self.counts[table]]
        sums = [f"{t} {self.counts[t]} {self.lanes[t][0]:016x} {self.lanes[t][1]:016x}" for t in tables]
        parts = [program_hash, *sums]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def _add(self, table: str, count: int, lanes: tuple[int, int]) -> None:
        self.counts[table] = self.counts.get(table, 0) + count
        first, second = self.lanes.get(table, (0, 0))
        self.lanes[table] = (first + lanes[0]) % 2**64, (second + lanes[1]) % 2**64
