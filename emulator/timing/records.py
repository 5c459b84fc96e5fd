"""What the timing plane reports: columns of firings and transfers."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from traces.schema import STREAMED_TABLES

#: Columns of a firing record and of a transfer record, in the order of the schema; all int64 inside the engines.
FIRING_COLUMNS = tuple(column.name for column in STREAMED_TABLES["firings"])
TRANSFER_COLUMNS = tuple(column.name for column in STREAMED_TABLES["transfers"])


class TimingSink(Protocol):
    """Where records go, in batches of whole columns."""

    def append(self, table: str, columns: dict[str, NDArray[np.int64]]) -> None:
        """Take a batch of records of ``table`` ("firings" or "transfers"); the arrays belong to the callee."""
