"""Communicators without MPI: one rank alone, and several ranks as threads of one process.

The threads are a test double that is stricter than MPI: a send completes only when its receive has been posted, as it
does in MPI for large messages, so that code which counts on buffering hangs here for every size; collective
operations that differ between ranks are refused.
"""

import math
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from emulator.errors import ParallelError
from emulator.parallel.buffers import as_bytes, check_peer, check_tag
from emulator.parallel.comm import PoliteWaiter, Request

T = TypeVar("T")

_MAX_TAG = 2**31 - 1
_SERIAL_PATIENCE_S = 0.05


@dataclass(slots=True, eq=False)
class _Message:
    """One end of a message: the bytes to send or the bytes to fill."""

    group: "LocalGroup"
    route: tuple[int, int, int]
    data: NDArray[np.uint8]
    exact: bool = True
    done: bool = False
    mismatch: str = ""
    n_bytes: int = 0

    def test(self) -> bool:
        """Say whether the other end has met this one."""
        self.group.check_alive()
        if self.mismatch:
            raise ParallelError(self.mismatch)
        return self.done


@dataclass(slots=True, eq=False)
class _Meeting:
    """One collective operation: what it is, and what each rank brought."""

    kind: str
    brought: dict[int, Any] = field(default_factory=dict)


class LocalGroup:
    """What the ranks of one process share: messages under way, meetings, and whether one has aborted."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.abort_code: int | None = None
        self._lock = threading.Lock()
        self._sends: defaultdict[tuple[int, int, int], deque[_Message]] = defaultdict(deque)
        self._receives: defaultdict[tuple[int, int, int], deque[_Message]] = defaultdict(deque)
        self._meetings: dict[int, _Meeting] = {}

    def check_alive(self) -> None:
        """End this rank, too, where another has aborted."""
        if self.abort_code is not None:
            raise SystemExit(self.abort_code)

    def post_send(self, route: tuple[int, int, int], data: NDArray[np.uint8]) -> Request:
        """Offer a message on ``route`` (source, dest, tag)."""
        message = _Message(self, route, data)
        with self._lock:
            self._sends[route].append(message)
            self._match(route)
        return message

    def post_receive(self, route: tuple[int, int, int], data: NDArray[np.uint8], *, exact: bool) -> Request:
        """Ask for the next message on ``route`` (source, dest, tag)."""
        message = _Message(self, route, data, exact)
        with self._lock:
            self._receives[route].append(message)
            self._match(route)
        return message

    def _match(self, route: tuple[int, int, int]) -> None:
        """Deliver the oldest message to the oldest receive: messages of one route do not overtake each other."""
        if not (self._sends[route] and self._receives[route]):
            return
        send, receive = self._sends[route].popleft(), self._receives[route].popleft()
        receive.n_bytes = send.data.size
        if send.data.size == receive.data.size or (not receive.exact and send.data.size < receive.data.size):
            receive.data[: send.data.size] = send.data
        else:
            receive.mismatch = size_mismatch(route[0], route[2], receive.data.size, f"{send.data.size} bytes")
        send.done = receive.done = True

    def join_meeting(self, index: int, kind: str, rank: int, value: object) -> _Meeting:
        """Bring ``value`` to the collective operation number ``index``.

        Raises:
            ParallelError: Another rank takes part in that operation with one of another kind.
        """
        with self._lock:
            meeting = self._meetings.setdefault(index, _Meeting(kind))
            if meeting.kind != kind:
                raise ParallelError(
                    f"rank {rank} calls {kind} where another rank calls {meeting.kind}; "
                    "collective operations must come in the same order on every rank"
                )
            meeting.brought[rank] = value
        return meeting


def size_mismatch(source: int, tag: int, expected_bytes: int, came: str) -> str:
    """Describe a message that does not fill its buffer."""
    return (
        f"the message from rank {source} with tag {tag} does not match its receive buffer: "
        f"expected {expected_bytes} bytes, came {came}; sender and receiver disagree about the program"
    )


class LocalComm(PoliteWaiter):
    """One rank of a ``LocalGroup``."""

    def __init__(self, group: LocalGroup, rank: int) -> None:
        super().__init__()
        self._group = group
        self._rank = rank
        self._n_meetings = 0

    @property
    def rank(self) -> int:
        """This rank's number."""
        return self._rank

    @property
    def size(self) -> int:
        """Number of ranks of the group."""
        return self._group.size

    @property
    def max_tag(self) -> int:
        """The largest message tag that may be used."""
        return _MAX_TAG

    def isend(self, data: NDArray[Any], dest: int, tag: int) -> Request:
        """Post the sending of a C-contiguous array's bytes; completes once a receive has taken them."""
        self._check(dest, tag)
        return self._group.post_send((self._rank, dest, tag), as_bytes(data, writable=False))

    def irecv(self, buffer: NDArray[Any], source: int, tag: int, *, exact: bool = True) -> Request:
        """Post the receipt of one message that fills ``buffer``, exactly or at most."""
        self._check(source, tag)
        return self._group.post_receive((source, self._rank, tag), as_bytes(buffer, writable=True), exact=exact)

    def _check(self, peer: int, tag: int) -> None:
        self._group.check_alive()
        check_peer(peer, self.size)
        check_tag(tag, _MAX_TAG)

    def barrier(self) -> None:
        """Wait until every rank has come here."""
        self._meet("barrier", None)

    def broadcast_bytes(self, data: bytes | None, root: int) -> bytes:
        """Return ``root``'s ``data`` on every rank."""
        check_peer(root, self.size)
        sent = self._meet(f"broadcast_bytes from rank {root}", data)[root]
        if sent is None:
            raise ParallelError(f"rank {root} is the root of a broadcast and gave no data")
        return bytes(sent)

    def gather_bytes(self, data: bytes, root: int) -> list[bytes] | None:
        """Return every rank's ``data``, in rank order, on ``root``, and None elsewhere."""
        check_peer(root, self.size)
        parts = self._meet(f"gather_bytes to rank {root}", bytes(data))
        return parts if self._rank == root else None

    def abort(self, code: int) -> NoReturn:
        """End this rank now and the others as soon as they communicate."""
        self._group.abort_code = code
        raise SystemExit(code)

    def _meet(self, kind: str, value: object) -> list[Any]:
        """Bring ``value`` to this rank's next collective operation and return what all brought, in rank order."""
        index = self._n_meetings
        self._n_meetings += 1
        meeting = self._group.join_meeting(index, kind, self._rank, value)
        self._wait_for(meeting)
        return self._all_brought(meeting)

    def _wait_for(self, meeting: _Meeting) -> None:
        def complete() -> bool:
            self._group.check_alive()
            return len(meeting.brought) == self.size

        self.wait_until(complete)

    def _all_brought(self, meeting: _Meeting) -> list[Any]:
        return [meeting.brought[rank] for rank in range(self.size)]


class SerialComm(LocalComm):
    """The only rank of a run without MPI; it may send messages to itself."""

    def __init__(self) -> None:
        super().__init__(LocalGroup(1), 0)

    def wait_until(self, ready: Callable[[], bool], limit_s: float = math.inf) -> bool:
        """Call ``ready`` until it returns True, for a moment: nobody else can bring what is missing.

        Raises:
            ParallelError: ``ready`` stays False, so the program would wait for ever.
        """
        if super().wait_until(ready, min(limit_s, _SERIAL_PATIENCE_S)):
            return True
        if limit_s <= _SERIAL_PATIENCE_S:
            return False
        raise ParallelError("the only rank of this run waits for a message that no rank will send")


def run_local(main: Callable[[LocalComm], T], n_ranks: int, limit_s: float = 240.0) -> list[T]:
    """Call ``main`` on ``n_ranks`` threads, each with its communicator, and return what each returned.

    Raises:
        BaseException: What the lowest failing rank raised; the first cause, not the abort that followed from it.
        ParallelError: The ranks were not done after ``limit_s`` seconds: they wait for each other. On a machine with
            other work the engines' compilation alone, of which a first run waits for the end, can take a minute.
    """
    group = LocalGroup(n_ranks)
    results: dict[int, T] = {}
    failures: dict[int, BaseException] = {}

    def run(rank: int) -> None:
        try:
            results[rank] = main(LocalComm(group, rank))
        except BaseException as error:  # noqa: BLE001 (whatever it is, the caller shall see it)
            if group.abort_code is None:
                group.abort_code = 1
                failures[rank] = error

    threads = [threading.Thread(target=run, args=(rank,), daemon=True) for rank in range(n_ranks)]
    for thread in threads:
        thread.start()
    deadline_s = time.monotonic() + limit_s
    for thread in threads:
        thread.join(max(0.0, deadline_s - time.monotonic()))
    if failures:
        raise failures[min(failures)]
    if len(results) < n_ranks:
        waiting = sorted(set(range(n_ranks)) - set(results))
        raise ParallelError(f"ranks {waiting} were not done after {limit_s} s: they wait for each other")
    return [results[rank] for rank in range(n_ranks)]
