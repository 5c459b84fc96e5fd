"""A program as columns: one row per actor and channel, tables that repeat stored once. What the timing plane lowers.

A program of a few hundred actors is clearest as objects (``dataflow``), one of a hundred thousand crossbars is not: its
columns take a hundredth of the memory, and numpy builds them layer by layer.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emulator.program.dataflow import Program
from emulator.program.token_game import firings_with_token

Records = NDArray[np.void]
Table = tuple[int, ...]


def record_type(fields: str) -> np.dtype[np.void]:
    """Return a record type of 64-bit integers with the given field names."""
    return np.dtype([(field, np.int64) for field in fields.split()], align=True)


#: One row per actor; ``duration_start`` points to the durations of its firings.
ACTOR_ROW = record_type("site resource n_firings duration_start")
#: One row per channel; ``token_start`` points into ``token_bytes``, ``use_start`` into ``need`` and ``freed``,
#: ``made_start`` into ``made``.
CHANNEL_ROW = record_type("producer consumer capacity slots n_tokens token_start use_start made_start")


class Columns(NamedTuple):
    """Actors and channels in the order of their ids, and the tables that they share; sites as in ``Program``."""

    n_clusters: int
    actors: Records  # ACTOR_ROW
    channels: Records  # CHANNEL_ROW
    duration_ps: NDArray[np.int64]
    token_bytes: NDArray[np.int64]
    need: NDArray[np.int64]
    freed: NDArray[np.int64]
    made: NDArray[np.int64]  # per firing of a channel's producer: 1 if it makes a token for the channel


class TablePool:
    """Concatenates groups of equally long integer tables, storing equal groups once."""

    def __init__(self, n_columns: int) -> None:
        self._offsets: dict[tuple[Table, ...], int] = {}
        self._columns: list[list[int]] = [[] for _ in range(n_columns)]

    @property
    def columns(self) -> list[NDArray[np.int64]]:
        """The tables so far, one array per column."""
        return [np.array(column, np.int64) for column in self._columns]

    def add(self, *tables: Table) -> int:
        """Return where the group starts."""
        if tables not in self._offsets:
            self._offsets[tables] = len(self._columns[0])
            for column, table in zip(self._columns, tables, strict=True):
                column.extend(table)
        return self._offsets[tables]


class Pools:
    """The shared tables of a program while it is put together."""

    def __init__(self) -> None:
        self.durations, self.tokens, self.uses, self.made = TablePool(1), TablePool(1), TablePool(2), TablePool(1)

    def columns(self, n_clusters: int, actors: Records, channels: Records) -> Columns:
        """Return the whole program, given its rows."""
        (durations,), (tokens,), (need, freed) = self.durations.columns, self.tokens.columns, self.uses.columns
        return Columns(n_clusters, actors, channels, durations, tokens, need, freed, self.made.columns[0])


def columns_of(program: Program) -> Columns:
    """Return the columns of a program of objects."""
    pools = Pools()
    actors = ((a.site, a.resource, a.n_firings, pools.durations.add(a.durations_ps)) for a in program.actors)
    channels = (
        (
            c.producer,
            c.consumer,
            c.capacity,
            c.slots,
            c.n_tokens,
            pools.tokens.add(c.token_bytes),
            pools.uses.add(c.need, c.freed),
            pools.made.add(tuple(map(int, firings_with_token(program, c)))),
        )
        for c in program.channels
    )
    return pools.columns(program.n_clusters, records(ACTOR_ROW, actors), records(CHANNEL_ROW, channels))


def records(dtype: np.dtype[np.void], rows: Iterable[tuple[int, ...]]) -> Records:
    """Return rows as an array of records."""
    return np.array(list(rows), dtype)
