"""Starts mpiexec, so that plain ``pytest`` covers what needs real ranks; every wait has a hard limit."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from launch.local import find_mpiexec, rank_environment, start_ranks
from traces.errors import TraceError
from traces.reader import Trace

HERE = Path(__file__).parent
LIMIT_S = 120


def run_mpi(n_ranks: int, arguments: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run Python on ``n_ranks`` ranks; nothing of it outlives this call."""
    command = [str(find_mpiexec()), "-n", str(n_ranks), sys.executable, *arguments]
    process = subprocess.Popen(
        command, env=rank_environment(n_ranks, {**os.environ, **environment}), text=True, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        output, errors = process.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, errors = process.communicate()
        pytest.fail(f"{n_ranks} ranks were not done after {LIMIT_S} s:\n{output}\n{errors}")
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


@pytest.mark.parametrize("n_ranks", [2, 3, 4])
def test_the_tests_for_real_ranks_pass_on(n_ranks: int, tmp_path: Path) -> None:
    arguments = ["-m", "pytest", "--only-mpi", "--timeout=60", f"--basetemp={tmp_path}/base", str(HERE / "mpi")]
    done = run_mpi(n_ranks, arguments, {"RANK_REPORTS": str(tmp_path)})
    assert done.returncode == 0, done.stdout + done.stderr
    for rank in range(n_ranks):
        outcomes = json.loads((tmp_path / f"{rank}.json").read_text())
        assert outcomes.get("passed", 0) > 5, (rank, outcomes)
        assert "failed" not in outcomes


FAILING = """
import sys
from pathlib import Path
import launch.rank
from emulator.emulation import Plane
from emulator.errors import ParallelError

def fail(workload, *, comm, **_):
    comm.barrier()  # every rank has made its file
    if comm.rank == 1:
        raise ERROR
    comm.barrier()

launch.rank.emulate = fail
options = launch.rank.RunOptions(Path(sys.argv[1]), Path(sys.argv[2]), Plane.BOTH, True, None, False, False)
sys.exit(launch.rank.run_on_rank(launch.rank.connect(), options))
"""


def test_a_killed_rank_ends_the_job_and_leaves_nothing_that_passes_for_finished(tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(FAILING.replace("raise ERROR", "import os; os.kill(os.getpid(), 9)"))
    config = HERE.parents[1] / "configs/runs/tiny.yaml"
    done = run_mpi(3, [str(script), str(config), str(tmp_path / "out")], {})
    assert done.returncode != 0
    assert (tmp_path / "out/rank00000.h5").exists()
    with pytest.raises(TraceError, match="did not finish"):
        Trace(tmp_path / "out")


DOOMED = """
import os
import sys
import threading
import time
from pathlib import Path
from emulator.emulation import Plane
from launch.rank import RunOptions, connect, run_on_rank

comm = connect()
if comm.rank == int(sys.argv[3]):
    threading.Timer(float(sys.argv[4]), os.kill, (os.getpid(), 9)).start()
options = RunOptions(Path(sys.argv[1]), Path(sys.argv[2]), Plane.TIMING, True, None, False, False)
code = run_on_rank(comm, options)
time.sleep(30)  # the doomed one dies after the end at the latest
sys.exit(code)
"""


@pytest.mark.parametrize(("victim", "delay_s"), [(0, 0.2), (1, 0.0), (2, 1.0), (1, 2.5)])
def test_a_rank_killed_at_any_moment_is_named_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], victim: int, delay_s: float
) -> None:
    (tmp_path / "doomed.py").write_text(DOOMED)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{HERE.parents[1]}")
    arguments = [str(HERE.parents[1] / "configs/runs/tiny.yaml"), str(tmp_path / "out"), str(victim), str(delay_s)]
    began = time.monotonic()
    assert start_ranks(3, arguments, module="doomed") == 7
    assert time.monotonic() - began < 25
    complaints = [line for line in capfd.readouterr().err.splitlines() if line.startswith("aimc: error")]
    assert len(complaints) == 1
    named = re.match(r"aimc: error: rank ([\d or]+) of 3 was killed or crashed", complaints[0])
    assert named, complaints
    assert str(victim) in named[1].split(" or ")  # alone, unless a busy machine hears of several ends at once
    if (tmp_path / "out/trace.h5").exists():  # killed after the end: then the trace is whole
        with Trace(tmp_path / "out") as trace:
            assert len(trace["firings"])
    else:
        with pytest.raises(TraceError):
            Trace(tmp_path / "out")


STILLBORN = """
import os
import sys
from types import SimpleNamespace
from launch.rank import connect
from launch.watch import launched_rank

if launched_rank() == 1:
    sys.modules["emulator.parallel.mpi_comm"] = SimpleNamespace(MpiComm=lambda: os.kill(os.getpid(), 9))
connect()
"""


def test_a_rank_killed_while_mpi_starts_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "stillborn.py").write_text(STILLBORN)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{HERE.parents[1]}")
    began = time.monotonic()
    assert start_ranks(3, [], module="stillborn") == 7
    assert time.monotonic() - began < 25
    named = re.findall(r"aimc: error: rank ([\d or]+) of 3 was killed or crashed", capfd.readouterr().err)
    assert len(named) == 1
    assert "1" in named[0].split(" or ")


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        ("ParallelError('out of step')", 7, "out of step"),
        ("RuntimeError('broken')", 1, "RuntimeError: broken (a defect of the emulator"),
    ],
)
def test_a_failing_rank_ends_the_job_with_one_message(tmp_path: Path, error: str, code: int, message: str) -> None:
    script = tmp_path / "failing.py"
    script.write_text(FAILING.replace("ERROR", error))
    config = HERE.parents[1] / "configs/runs/tiny.yaml"
    done = run_mpi(3, [str(script), str(config), str(tmp_path / "out")], {})
    assert done.returncode == code
    complaints = [line for line in done.stderr.splitlines() if line.startswith("aimc: error")]
    assert len(complaints) == 1
    assert complaints[0].startswith("aimc: error on rank 1 of 3 (")
    assert message in complaints[0]
    assert not (tmp_path / "out/trace.h5").exists()
