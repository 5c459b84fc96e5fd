"""Start the ranks of a run on this machine with mpiexec."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

from emulator.errors import ParallelError
from launch.watch import FOLDER_VARIABLE, RankWatch

#: One thread per rank: ranks are the parallelism, and spinning threads on shared cores slow a run many times over.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")

#: Exit codes of ranks that have said themselves what happened (see ``emulator.errors``), or whose reader has gone.
_EXPLAINED = (*range(9), 141)
#: Exit codes of jobs that were asked to end.
_STOPPED = {128 + signal.SIGINT: "interrupted", 128 + signal.SIGTERM: "terminated"}


def find_mpiexec() -> Path:
    """Find the mpiexec of this Python environment, else the system's.

    Raises:
        ParallelError: there is none.
    """
    beside = Path(sys.executable).with_name("mpiexec")
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if found is None:
        raise ParallelError(
            "no mpiexec beside this Python or on PATH: install one with 'pip install mpich', load your site's MPI, "
            "or run on one rank (-n 1)"
        )
    return Path(found)


def single_threaded(environment: dict[str, str]) -> dict[str, str]:
    """Return ``environment`` with one thread per process where it does not say otherwise."""
    return {**dict.fromkeys(_THREAD_VARIABLES, "1"), **environment}


def rank_environment(n_ranks: int, environment: dict[str, str]) -> dict[str, str]:
    """Return the environment for ``n_ranks`` ranks on this machine.

    MPICH: the ofi netmod needs a fifth of the shared memory and is as fast on one node; yielding helps only where ranks
    outnumber cores. Open MPI: allows root and more ranks than cores, which MPICH does anyway.
    """
    settings = {
        "MPIR_CVAR_CH4_NETMOD": "ofi",
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "OMPI_MCA_rmaps_base_oversubscribe": "1",
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    }
    if n_ranks > (os.cpu_count() or 1):
        settings["MPIR_CVAR_ENABLE_HEAVY_YIELD"] = "1"
    return single_threaded({**settings, **environment})


def _end_with_parent() -> None:
    """Ask Linux to terminate this process when its parent dies, however that happens."""
    set_parent_death_signal = 1  # PR_SET_PDEATHSIG, prctl(2)
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)


def start_ranks(n_ranks: int, arguments: Sequence[str], module: str = "emulator") -> int:
    """Run ``python -m MODULE`` with ``arguments`` on ``n_ranks`` ranks and return the job's exit code.

    Interrupts and terminations of this process go on to the job; nothing is left behind. A job that was stopped so, or
    of which a rank was killed, could not say it itself: it is said here, once.

    Returns:
        What the ranks ended with; 128 and the signal's number if they were stopped; ``ParallelError.exit_code`` if one
        was killed or crashed.

    Raises:
        ParallelError: there is no mpiexec.
    """
    command = [str(find_mpiexec()), "-n", str(n_ranks), sys.executable, "-m", module, *arguments]
    with TemporaryDirectory() as folder, RankWatch(Path(folder), n_ranks) as watch:
        code = _run(command, rank_environment(n_ranks, {**os.environ, FOLDER_VARIABLE: folder}))
    if code in _STOPPED:
        print(f"aimc: {_STOPPED[code]}", file=sys.stderr)
    elif code not in _EXPLAINED:
        names = " or ".join(map(str, watch.first))
        who = f"rank {names} of {n_ranks}" if names else "the job"
        message = f"{who} was killed or crashed (exit code {code}); the run did not finish"
        print(f"aimc: error: {message}", file=sys.stderr)
        return ParallelError.exit_code
    return code


def _run(command: Sequence[str], environment: dict[str, str]) -> int:
    """Run a job in a session of its own and return its exit code; signals to this process go on to it.

    A job that fails after such a signal has ended because of it, whatever its launcher makes of that.
    """
    signals: list[int] = []
    process = subprocess.Popen(  # noqa: S603 (the command is our own)
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 (nothing here has threads)
    )

    def forward(number: int, _: FrameType | None) -> None:
        signals.append(number)
        process.send_signal(number)

    previous = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        code = process.wait()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        for number, handler in previous.items():
            signal.signal(number, handler)
    if code and signals:
        return 128 + signals[-1]
    return code if code >= 0 else 128 - code
