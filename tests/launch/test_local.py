"""Starting ranks on this machine: the environment they get and what their end means."""

import os
import signal
import sys
from pathlib import Path

import pytest

from emulator.errors import ParallelError
from emulator.parallel.local_comm import SerialComm
from launch import local
from launch.rank import ending_all_ranks


def test_ranks_get_one_thread_each_unless_the_user_says_otherwise() -> None:
    environment = local.rank_environment(2, {"OMP_NUM_THREADS": "3", "HOME": "/h"})
    assert environment["OMP_NUM_THREADS"] == "3"
    assert environment["OPENBLAS_NUM_THREADS"] == environment["NUMBA_NUM_THREADS"] == "1"
    assert environment["HOME"] == "/h"


def test_ranks_yield_only_where_they_outnumber_the_cores() -> None:
    n_cores = os.cpu_count() or 1
    assert "MPIR_CVAR_ENABLE_HEAVY_YIELD" not in local.rank_environment(n_cores, {})
    assert local.rank_environment(n_cores + 1, {})["MPIR_CVAR_ENABLE_HEAVY_YIELD"] == "1"


def test_without_mpiexec_the_message_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ParallelError, match="pip install mpich"):
        local.find_mpiexec()


@pytest.mark.parametrize(
    ("ending", "code", "said"),
    [("exit 0", 0, 0), ("exit 4", 4, 0), ("exit 141", 141, 0), ("exit 9", 7, 1), ("kill -9 $$", 7, 1)],
)
def test_a_job_that_could_not_speak_for_itself_is_explained(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    ending: str,
    code: int,
    said: int,
) -> None:
    launcher = tmp_path / "mpiexec"
    launcher.write_text(f"#!/bin/sh\n{ending}\n")
    launcher.chmod(0o755)
    monkeypatch.setattr(local, "find_mpiexec", lambda: launcher)
    assert local.start_ranks(2, []) == code
    assert capsys.readouterr().err.count("did not finish") == said


@pytest.mark.parametrize(("number", "said"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")])
@pytest.mark.parametrize("ending", ["exit 1", "exit 0"])
def test_a_job_that_was_stopped_says_so_once_unless_it_has_finished(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], number: int, said: str,
    ending: str,
) -> None:  # fmt: skip
    launcher = tmp_path / "mpiexec"
    launcher.write_text(
        f"#!/bin/sh\ntrap '{ending}' INT TERM\nsleep 0.5\nkill -{number:d} $PPID\nwhile :; do sleep 0.1; done\n"
    )
    launcher.chmod(0o755)
    monkeypatch.setattr(local, "find_mpiexec", lambda: launcher)
    stopped = ending != "exit 0"
    assert local.start_ranks(2, []) == (128 + number if stopped else 0)
    assert capsys.readouterr().err == (f"aimc: {said}\n" if stopped else "")


def test_an_interrupt_of_a_single_rank_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end, ending_all_ranks(SerialComm(), debug=False):
        raise KeyboardInterrupt
    assert end.value.code == 130
    assert capsys.readouterr().err == "aimc: interrupted\n"
