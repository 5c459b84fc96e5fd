"""What the emulator asks of a communicator, and the one way in which it waits.

Nothing in the emulator blocks inside MPI: an operation is posted, tested, and waited for with short sleeps. A blocking
receive spins, and where ranks outnumber cores the spinning rank takes the time slice of the rank that it waits for.
Only the first moment is spent without sleep, and even then whoever else wants the core gets it.
"""

import math
import os
import time
from collections.abc import Callable
from typing import Any, NoReturn, Protocol

from numpy.typing import NDArray

_SHORTEST_SLEEP_S = 2e-5
_LONGEST_SLEEP_S = 5e-4
#: A sleep lasts for such a share of the time waited so far: as much later at most is what came noticed.
_SLEEP_SHARE = 0.02


class Request(Protocol):
    """A posted send or receive; its buffer must stay untouched until ``test`` has returned True."""

    def test(self) -> bool:
        """Say whether the operation is complete, without blocking.

        Raises:
            ParallelError: The message that arrived does not have the size of its buffer.
        """
        ...

    @property
    def n_bytes(self) -> int:
        """Length of the message, once a receive is complete."""
        ...


class Comm(Protocol):
    """A group of ranks that exchange messages. Collective calls must come in the same order on every rank."""

    @property
    def rank(self) -> int:
        """This process's number, 0 to ``size - 1``."""
        ...

    @property
    def size(self) -> int:
        """Number of ranks."""
        ...

    @property
    def max_tag(self) -> int:
        """The largest message tag that may be used."""
        ...

    @property
    def waited_s(self) -> float:
        """Seconds of wall time that this rank has spent waiting so far."""
        ...

    def isend(self, data: NDArray[Any], dest: int, tag: int) -> Request:
        """Post the sending of a C-contiguous array's bytes."""
        ...

    def irecv(self, buffer: NDArray[Any], source: int, tag: int, *, exact: bool = True) -> Request:
        """Post the receipt of one message that fills ``buffer``, exactly or at most."""
        ...

    def wait_until(self, ready: Callable[[], bool], limit_s: float = math.inf) -> bool:
        """Call ``ready`` until it returns True, with short sleeps; return False where ``limit_s`` passes first."""
        ...

    def wait(self, *requests: Request) -> None:
        """Wait until all of ``requests`` are complete."""
        ...

    def barrier(self) -> None:
        """Wait until every rank has come here."""
        ...

    def broadcast_bytes(self, data: bytes | None, root: int) -> bytes:
        """Return ``root``'s ``data`` on every rank; the others give None. Any length."""
        ...

    def gather_bytes(self, data: bytes, root: int) -> list[bytes] | None:
        """Return every rank's ``data``, in rank order, on ``root``, and None elsewhere. Any length."""
        ...

    def abort(self, code: int) -> NoReturn:
        """End all ranks of the job at once with exit status ``code``."""
        ...


class PoliteWaiter:
    """Waits by testing and sleeping, and counts the seconds.

    Args:
        spin_s: how long to test before the first sleep, letting other processes have the core in between.
    """

    def __init__(self, spin_s: float = 0.0) -> None:
        self._spin_s = spin_s
        self._waited_s = 0.0

    @property
    def waited_s(self) -> float:
        """Seconds of wall time spent waiting so far."""
        return self._waited_s

    def wait_until(self, ready: Callable[[], bool], limit_s: float = math.inf) -> bool:
        """Call ``ready`` until it returns True, with short sleeps; return False where ``limit_s`` passes first."""
        if ready():
            return True
        start_s = time.perf_counter()
        try:
            return _poll(ready, start_s + limit_s, self._spin_s)
        finally:
            self._waited_s += time.perf_counter() - start_s

    def wait(self, *requests: Request) -> None:
        """Wait until all of ``requests`` are complete."""
        for request in requests:
            self.wait_until(request.test)


def _poll(ready: Callable[[], bool], deadline_s: float, spin_s: float) -> bool:
    """Test, at first only letting others have the core in between, then with sleeps that grow with the wait."""
    start_s = time.perf_counter()
    while not ready():
        now_s = time.perf_counter()
        if now_s >= deadline_s:
            return False
        if now_s - start_s < spin_s:
            os.sched_yield()
        else:
            time.sleep(min(max(_SLEEP_SHARE * (now_s - start_s), _SHORTEST_SLEEP_S), _LONGEST_SLEEP_S))
    return True
