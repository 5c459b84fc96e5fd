"""What an array must be to serve as a message."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emulator.errors import ParallelError


def as_bytes(array: NDArray[Any], *, writable: bool) -> NDArray[np.uint8]:
    """View ``array`` as a flat array of bytes, without copying.

    Raises:
        ParallelError: The array is not contiguous in C order, or is read-only where it must be written.
    """
    if not array.flags.c_contiguous:
        raise ParallelError(
            f"a message buffer of shape {array.shape} and strides {array.strides} is not contiguous; "
            "pass numpy.ascontiguousarray of it, or receive into a contiguous buffer"
        )
    if writable and not array.flags.writeable:
        raise ParallelError(f"a receive buffer of shape {array.shape} is read-only; pass a writable array")
    return array.reshape(-1).view(np.uint8)


def check_peer(peer: int, size: int) -> None:
    """Refuse a rank number outside the group.

    Raises:
        ParallelError: ``peer`` is not one of 0 to ``size - 1``.
    """
    if not 0 <= peer < size:
        raise ParallelError(f"a message names rank {peer}; expected a rank from 0 to {size - 1}")


def check_tag(tag: int, max_tag: int) -> None:
    """Refuse a tag that the MPI library cannot carry.

    Raises:
        ParallelError: ``tag`` is negative or above ``max_tag``.
    """
    if not 0 <= tag <= max_tag:
        raise ParallelError(
            f"message tag {tag} is outside 0 to {max_tag}, the range of this MPI library (its TAG_UB); "
            "use fewer channels or another MPI library"
        )
