"""MPI behind the ``Comm`` protocol: the only module that imports mpi4py, and importing it starts MPI."""

import os
from typing import Any, NoReturn

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from emulator.errors import ParallelError
from emulator.parallel.buffers import as_bytes, check_peer, check_tag
from emulator.parallel.comm import PoliteWaiter, Request

#: Bytes per message of a long broadcast or gather; MPI counts with 32 bits.
_PIECE_BYTES = 1 << 30
#: A message between two processes of a host takes microseconds; the shortest sleep takes seventy.
_SPIN_S = 3e-4
_LAUNCHER_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE")


class _MpiRequest:
    """A posted operation; a receive checks the length of what came."""

    def __init__(self, request: MPI.Request, n_bytes: int | None = None) -> None:
        self._request = request
        self._expected_bytes = n_bytes
        self._done = False
        self.n_bytes = 0

    def test(self) -> bool:
        """Say whether the operation is complete."""
        if self._done:
            return True
        status = MPI.Status()
        try:
            self._done = bool(self._request.Test(status))
        except MPI.Exception as error:
            raise ParallelError(f"a message was lost or did not fit its buffer: {error}") from error
        if self._done:
            self.n_bytes = status.Get_count(MPI.BYTE)
        if self._done and self._expected_bytes not in {None, self.n_bytes}:
            raise ParallelError(
                f"rank {status.Get_source()} sent {self.n_bytes} bytes with tag {status.Get_tag()}, "
                f"expected {self._expected_bytes}"
            )
        return self._done


class MpiComm(PoliteWaiter):
    """The ranks of an MPI job, on a communicator of their own."""

    def __init__(self, base: MPI.Comm | None = None) -> None:
        super().__init__(_SPIN_S)
        base = MPI.COMM_WORLD if base is None else base
        _check_launcher(MPI.COMM_WORLD.Get_size())
        self._comm, duplicated = base.Idup()
        self.wait(_MpiRequest(duplicated))
        self._rank, self._size = self._comm.Get_rank(), self._comm.Get_size()
        upper_bound = self._comm.Get_attr(MPI.TAG_UB)
        self._max_tag = 32767 if upper_bound is None else int(upper_bound)

    @property
    def rank(self) -> int:
        """This process's number."""
        return self._rank

    @property
    def size(self) -> int:
        """Number of ranks."""
        return self._size

    @property
    def max_tag(self) -> int:
        """The largest tag that this MPI library carries."""
        return self._max_tag

    def isend(self, data: NDArray[Any], dest: int, tag: int) -> Request:
        """Post the sending of an array's bytes."""
        check_peer(dest, self._size)
        check_tag(tag, self._max_tag)
        return _MpiRequest(self._comm.Isend([as_bytes(data, writable=False), MPI.BYTE], dest, tag))

    def irecv(self, buffer: NDArray[Any], source: int, tag: int, *, exact: bool = True) -> Request:
        """Post the receipt of one message that fills ``buffer``, exactly or at most."""
        check_peer(source, self._size)
        check_tag(tag, self._max_tag)
        raw = as_bytes(buffer, writable=True)
        return _MpiRequest(self._comm.Irecv([raw, MPI.BYTE], source, tag), raw.nbytes if exact else None)

    def barrier(self) -> None:
        """Wait until every rank has come here."""
        self.wait(_MpiRequest(self._comm.Ibarrier()))

    def broadcast_bytes(self, data: bytes | None, root: int) -> bytes:
        """Return ``root``'s ``data`` on every rank."""
        if (data is None) == (self._rank == root):
            raise ParallelError(
                f"rank {self._rank}: the root of a broadcast, rank {root}, gives data and no other does"
            )
        length = np.array([len(data) if data is not None else 0], np.int64)
        self.wait(_MpiRequest(self._comm.Ibcast(length, root)))
        buffer = np.empty(int(length[0]), np.uint8)
        if data is not None:
            buffer[:] = np.frombuffer(data, np.uint8)
        for start in range(0, len(buffer), _PIECE_BYTES):
            self.wait(_MpiRequest(self._comm.Ibcast([buffer[start : start + _PIECE_BYTES], MPI.BYTE], root)))
        return data if data is not None else buffer.tobytes()

    def gather_bytes(self, data: bytes, root: int) -> list[bytes] | None:
        """Return every rank's ``data`` on ``root``."""
        lengths = np.zeros(self._size, np.int64)
        self.wait(_MpiRequest(self._comm.Iallgather(np.array([len(data)], np.int64), lengths)))
        if self._rank != root:
            raw = np.frombuffer(data, np.uint8)
            for start in range(0, len(raw), _PIECE_BYTES):
                self.wait(_MpiRequest(self._comm.Isend([raw[start : start + _PIECE_BYTES], MPI.BYTE], root, 0)))
            return None
        gathered = []
        for source, length in enumerate(lengths):
            buffer = np.empty(int(length), np.uint8)
            for start in range(0, len(buffer) if source != root else 0, _PIECE_BYTES):
                piece = buffer[start : start + _PIECE_BYTES]
                self.wait(_MpiRequest(self._comm.Irecv([piece, MPI.BYTE], source, 0)))
            gathered.append(data if source == root else buffer.tobytes())
        return gathered

    def abort(self, code: int) -> NoReturn:
        """End all ranks of the job at once."""
        MPI.COMM_WORLD.Abort(code)
        os._exit(code)  # Abort does not return; this says so to readers and type checkers


def _check_launcher(size: int) -> None:
    """Compare the launcher's idea of the job's size with the MPI library's.

    Raises:
        ParallelError: they differ: the launcher of one MPI library started processes that use another.
    """
    for name in _LAUNCHER_SIZES:
        wanted = os.environ.get(name)
        if wanted is not None and int(wanted) != size:
            library = MPI.Get_library_version().split(",")[0].split("\n")[0].strip()
            raise ParallelError(
                f"the launcher started {wanted} processes ({name}), but the MPI library ({library}) sees {size}: they "
                "belong to different MPI installations; use the mpiexec beside this Python, or set MPI4PY_LIBMPI to "
                "the launcher's library"
            )
