"""Keeps a failing rank from hanging the others, and leaves a report per rank for the test that started them."""

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

BARRIER_LIMIT_S = 20.0
_outcomes: dict[str, int] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" or report.outcome == "failed":
        _outcomes[report.outcome] = _outcomes.get(report.outcome, 0) + 1
        if report.outcome == "failed":
            print(report.longreprtext, file=sys.__stderr__, flush=True)


def pytest_sessionfinish() -> None:
    folder = os.environ.get("RANK_REPORTS")
    if folder:
        from mpi4py import MPI

        Path(folder, f"{MPI.COMM_WORLD.rank}.json").write_text(json.dumps(_outcomes))


@pytest.fixture(autouse=True)
def meet_after_every_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """Wait for the other ranks after a test, but not for ever: a rank that failed may never come."""
    yield
    if request.config.getoption("--only-mpi") or request.config.getoption("--with-mpi"):
        from mpi4py import MPI

        barrier = MPI.COMM_WORLD.Ibarrier()
        deadline_s = time.monotonic() + BARRIER_LIMIT_S
        while not barrier.Test():
            if time.monotonic() > deadline_s:
                print(f"rank {MPI.COMM_WORLD.rank} waited in vain after {request.node.name}", file=sys.__stderr__)
                MPI.COMM_WORLD.Abort(70)
            time.sleep(0.001)
