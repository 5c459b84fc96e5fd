"""Notice which rank of a job on this machine ends first: its launcher kills the others and says so in process ids.

Every rank leaves its process id in a folder that the launching process names in its environment, before it starts MPI.
A watching thread opens each process (pidfd, Linux 5.3 or newer) and hears of its end at once, whoever its parent is.
"""

import os
import select
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

#: Environment variable with the folder in which ranks leave their process ids.
FOLDER_VARIABLE = "AIMC_RANK_PIDS"
#: Set by MPI launchers for every process that they start (MPICH and PMI, Open MPI, PMIx, Cray PALS).
_LAUNCHER_VARIABLES = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PALS_RANKID")
_TICK_S = 0.01
#: A rank waits at most so long to be noticed; then it is on its own, and the job's end will not name it.
_PATIENCE_S = 2.0


def launched_rank() -> int | None:
    """Return the rank that a launcher has given this process, or None if none has started it."""
    return next((int(os.environ[name]) for name in _LAUNCHER_VARIABLES if name in os.environ), None)


def announce() -> None:
    """Leave this process's id for whoever watches this job, if anybody does, and wait until it is noticed."""
    folder, rank = os.environ.get(FOLDER_VARIABLE), launched_rank()
    if folder is None or rank is None or not hasattr(os, "pidfd_open"):
        return
    made = Path(folder) / f"{rank}.part"
    made.write_text(str(os.getpid()), encoding="ascii")
    made.rename(made.with_suffix(".pid"))
    deadline_s = time.monotonic() + _PATIENCE_S
    while not made.with_suffix(".seen").exists() and time.monotonic() < deadline_s:
        time.sleep(_TICK_S / 5)


class RankWatch:
    """Watches the ranks that announce themselves in ``folder``; use as a context manager around the job.

    ``first`` is the rank that ended first; several, if they ended too close together to tell or some had not announced
    themselves by then; none as long as none has, or where this system has no pidfd.
    """

    def __init__(self, folder: Path, n_ranks: int) -> None:
        self.first: tuple[int, ...] = ()
        self._folder = folder
        self._n_ranks = n_ranks
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        if hasattr(os, "pidfd_open"):
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:  # fmt: skip
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        handles: dict[int, int] = {}  # handle to rank
        seen: set[Path] = set()
        poll = select.poll()
        try:
            while not self.first and not self._over.is_set():
                for path in set(self._folder.glob("*.pid")) - seen:
                    seen.add(path)
                    try:
                        handle = os.pidfd_open(int(path.read_text(encoding="ascii")))
                    except ProcessLookupError:  # it is gone already
                        self.first = (int(path.stem),)
                        return
                    handles[handle] = int(path.stem)
                    poll.register(handle, select.POLLIN)
                    path.with_suffix(".seen").touch()
                ended = {handles[handle] for handle, _ in poll.poll(1000 * _TICK_S)}
                if ended:
                    self.first = tuple(sorted(ended | set(range(self._n_ranks)) - set(handles.values())))
        finally:
            for handle in handles:
                os.close(handle)
