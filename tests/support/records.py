"""A sink that keeps what it is given, for tests."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


class MemorySink:
    """Collects records of every table and the outputs of every image."""

    def __init__(self) -> None:
        self.batches: dict[str, list[dict[str, NDArray[Any]]]] = {}
        self.outputs: dict[int, NDArray[np.int64]] = {}

    def append(self, table: str, columns: dict[str, NDArray[np.int64]]) -> None:
        self.batches.setdefault(table, []).append(columns)

    def output(self, image: int, values: NDArray[np.int64]) -> None:
        self.outputs[image] = values

    def rows(self, table: str) -> list[tuple[int, ...]]:
        """All records of a table as sorted tuples."""
        batches = self.batches.get(table, [])
        return sorted(tuple(map(int, row)) for batch in batches for row in zip(*batch.values(), strict=True))
