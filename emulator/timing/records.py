"""What the timing plane reports: columns of firings and transfers, and the port totals at the end."""

from enum import IntEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

#: Columns of a firing record, all int64 inside the engine.
FIRING_COLUMNS = ("actor", "image", "phase", "start_ps", "end_ps", "cause", "cause_channel")
#: Columns of a transfer record.
TRANSFER_COLUMNS = ("channel", "image", "token", "ready_ps", "start_ps", "end_ps")


class Cause(IntEnum):
    """Why a firing did not start earlier; the numbers are those of the trace."""

    NONE = 0
    ACTOR = 1  # its own previous firing had to end
    INPUT = 2  # tokens had to arrive
    ROOM = 3  # the output buffer had to drain
    RESOURCE = 4  # another actor of the cluster held the IMA or the cores


class TimingSink(Protocol):
    """Where records go, in batches of whole columns."""

    def append(self, table: str, columns: dict[str, NDArray[np.int64]]) -> None:
        """Take a batch of records of ``table`` ("firings" or "transfers"); the arrays belong to the callee."""
