"""Firings by actor and transfers by channel, each in the order of time: what most figures need, made once per report.

Columns too large to hold comfortably lie in temporary files that the operating system pages in and out, so a report
also works on traces that are larger than memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traces.reader import Table, Trace

#: Columns with more bytes than this go to a temporary file.
_IN_MEMORY_BYTES = 64 << 20
_CHUNK_RECORDS = 1 << 20

FIRING_COLUMNS = ("start_ps", "end_ps", "cause", "cause_channel")
TRANSFER_COLUMNS = ("end_ps", "ready_ps", "start_ps")


@dataclass(frozen=True, slots=True, eq=False)
class Ordered:
    """Columns of a streamed table, sorted by an owner (an actor or a channel) and then by time.

    Attributes:
        starts: (n_owners + 1,), where the rows of each owner begin and end.
        columns: by name, all of one length.
    """

    starts: NDArray[np.int64]
    columns: dict[str, NDArray[Any]]

    def __len__(self) -> int:
        return int(self.starts[-1])

    def rows(self, owner: int, column: str) -> NDArray[Any]:
        """Return one column of one owner."""
        return self.columns[column][self.starts[owner] : self.starts[owner + 1]]

    def gather(self, owners: Sequence[int], column: str) -> NDArray[Any]:
        """Return one column of several owners, one after the other."""
        if not len(owners):
            return self.columns[column][:0]
        return np.concatenate([self.rows(owner, column) for owner in owners])

    def owners(self, owners: Sequence[int]) -> NDArray[np.int64]:
        """Return the owner of each row that ``gather`` returns."""
        return np.repeat(np.asarray(owners), [self.starts[i + 1] - self.starts[i] for i in owners])


@dataclass(frozen=True, slots=True, eq=False)
class Records:
    """All firings by actor (sorted by start) and all transfers by channel (sorted by end)."""

    firings: Ordered
    transfers: Ordered


def order_records(trace: Trace) -> Records:
    """Read and order the records of the timing plane; reads every column once."""
    return Records(
        firings=_order(trace["firings"], "actor", len(trace["actors"]), FIRING_COLUMNS),
        transfers=_order(trace["transfers"], "channel", len(trace["channels"]), TRANSFER_COLUMNS),
    )


def _order(
    table: Table, owner: str, n_owners: int, columns: tuple[str, ...], n_at_once: int = _CHUNK_RECORDS
) -> Ordered:
    """Sort by counting: chunk by chunk every row goes to its owner's next place; then each owner's rows by time.

    The first of ``columns`` is the time.
    """
    counts = np.zeros(n_owners, np.int64)
    for (owners,) in table.chunks(owner, n_records=n_at_once):
        counts += np.bincount(owners, minlength=n_owners)
    starts = np.concatenate(([0], np.cumsum(counts)))
    sorted_columns = {name: _allocate(int(starts[-1]), table.read(name, 0, 1).dtype) for name in columns}
    next_place = starts[:-1].copy()
    for owners, *values in table.chunks(owner, *columns, n_records=n_at_once):
        order = np.argsort(owners, kind="stable")
        n_of_owner = np.bincount(owners, minlength=n_owners)
        first_in_chunk = np.concatenate(([0], np.cumsum(n_of_owner)[:-1]))
        place = np.arange(len(owners)) + np.repeat(next_place - first_in_chunk, n_of_owner)
        for name, column in zip(columns, values, strict=True):
            sorted_columns[name][place] = column[order]
        next_place += n_of_owner
    _sort_each(starts, sorted_columns)
    return Ordered(starts, sorted_columns)


def _sort_each(starts: NDArray[np.int64], columns: dict[str, NDArray[Any]]) -> None:
    """Sort the rows of each owner by the first column, where a trace does not have them in order already."""
    times = next(iter(columns.values()))
    for begin, end in pairwise(starts.tolist()):
        own = times[begin:end]
        if (own[1:] < own[:-1]).any():
            order = np.argsort(own, kind="stable")
            for column in columns.values():
                column[begin:end] = column[begin:end][order]


def _allocate(n_rows: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    if n_rows * dtype.itemsize <= _IN_MEMORY_BYTES:
        return np.empty(n_rows, dtype)
    with TemporaryFile() as file:  # the mapping keeps the file alive
        return np.memmap(file, dtype, "w+", shape=(n_rows,))
