"""Ranks as threads of which one runs at a time, in an order drawn from a seed: failures that hang on time come back."""

import math
import random
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from numpy.typing import NDArray

from emulator.errors import ParallelError
from emulator.parallel.comm import Request
from emulator.parallel.local_comm import LocalComm, run_local

T = TypeVar("T")

#: Turns that ranks pass on, one after the other, until they are said to wait for each other.
_MOST_IDLE_TURNS = 2000


class _Turns:
    """Whose turn it is, and who is still there."""

    def __init__(self, n_ranks: int, seed: int, promptness: float) -> None:
        self.rng = random.Random(seed)  # noqa: S311 (no secret)
        self.promptness = promptness
        self.n_idle = 0
        self._there = list(range(n_ranks))
        self._turn = 0
        self._changed = threading.Condition()

    def join(self, rank: int) -> None:
        """Wait for the first turn."""
        with self._changed:
            self._changed.wait_for(lambda: self._turn == rank)

    def pass_on(self, rank: int) -> None:
        """Let any rank go on, and wait for the next turn."""
        with self._changed:
            self._turn = self.rng.choice(self._there)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._turn == rank)

    def leave(self, rank: int) -> None:
        """Take no more turns."""
        with self._changed:
            self._there.remove(rank)
            self.n_idle = 0
            if self._there:
                self._turn = self.rng.choice(self._there)
            self._changed.notify_all()


class _Late:
    """A receive that is noticed at some test after its message has come."""

    def __init__(self, request: Request, turns: _Turns) -> None:
        self._request, self._turns = request, turns
        self._is_noticed = False

    def test(self) -> bool:
        """Say whether the message has come, sooner or later."""
        if not self._is_noticed and self._request.test():
            self._is_noticed = self._turns.rng.random() < self._turns.promptness
        return self._is_noticed

    @property
    def n_bytes(self) -> int:
        """Length of the message."""
        return self._request.n_bytes


class _ScheduledComm:
    """One rank, which gives its turn away where it waits, and at times where it sends."""

    def __init__(self, comm: LocalComm, turns: _Turns) -> None:
        self._comm, self._turns = comm, turns

    def __getattr__(self, name: str) -> Any:
        return getattr(self._comm, name)

    def isend(self, data: NDArray[Any], dest: int, tag: int) -> Request:
        if self._turns.rng.random() < 0.5:
            self._turns.pass_on(self._comm.rank)
        return self._comm.isend(data, dest, tag)

    def irecv(self, buffer: NDArray[Any], source: int, tag: int, *, exact: bool = True) -> Request:
        return _Late(self._comm.irecv(buffer, source, tag, exact=exact), self._turns)

    def wait_until(self, ready: Callable[[], bool], limit_s: float = math.inf) -> bool:  # noqa: ARG002 (turns, not time)
        while not ready():
            self._turns.n_idle += 1
            if self._turns.n_idle > _MOST_IDLE_TURNS:
                raise ParallelError("the ranks wait for each other")
            self._turns.pass_on(self._comm.rank)
        self._turns.n_idle = 0
        return True

    def wait(self, *requests: Request) -> None:
        for request in requests:
            self.wait_until(request.test)


def run_scheduled(main: Callable[[Any], T], n_ranks: int, seed: int, *, promptness: float = 0.5) -> list[T]:
    """Call ``main`` on ``n_ranks`` ranks that take turns; the same seed gives the same run.

    Args:
        main: what every rank does with its communicator.
        n_ranks: how many.
        seed: of the order of turns.
        promptness: how likely a message that has come is noticed at a test.

    Raises:
        ParallelError: the ranks wait for each other.
    """
    turns = _Turns(n_ranks, seed, promptness)

    def on_turn(comm: LocalComm) -> T:
        turns.join(comm.rank)
        try:
            return main(_ScheduledComm(comm, turns))
        finally:
            turns.leave(comm.rank)

    return run_local(on_turn, n_ranks, limit_s=300)
