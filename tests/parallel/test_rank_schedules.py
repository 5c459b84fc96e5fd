"""The timing plane over ranks that take turns as a seed says, on cases made to be hard; failures come back."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.cases import Case, a_case, with_latencies
from support.networks import a_chip
from support.programs import actor, edge, program_of
from support.records import MemorySink
from support.schedule import run_scheduled

from emulator.program.columns import columns_of
from emulator.program.lower import lower, lower_program
from emulator.program.ownership import place_owners
from emulator.timing import sync
from emulator.timing.engine import TimingEngine
from emulator.timing.sync import RankTiming


@pytest.fixture(autouse=True, scope="module")
def _compiled() -> None:
    sync.compile_timing()


def check(case: Case, seed: int, promptness: float = 0.5) -> None:
    """Compare the records of ranks that take turns with those of one rank."""
    whole, everything, columns = MemorySink(), MemorySink(), columns_of(case.program)
    engine = TimingEngine(lower_program(case.program, case.chip), case.n_images, whole)
    engine.run()

    def main(comm: Any) -> int:
        tables = lower(columns, case.chip, case.owners, comm.rank)
        timing = RankTiming(tables, case.n_images, everything, comm)
        timing.run()
        return timing.engine.n_events

    assert sum(run_scheduled(main, case.n_ranks, seed, promptness=promptness)) == engine.n_events
    assert everything.rows("firings") == whole.rows("firings")
    assert everything.rows("transfers") == whole.rows("transfers")


def make_everything_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave room for as little as possible: messages of few events, short rings, few records, few told apart."""
    monkeypatch.setattr(sync, "BATCH_EVENTS", 1)
    monkeypatch.setattr(sync, "_N_SLOTS", 1)
    monkeypatch.setattr("emulator.timing.links._MOST_UNANSWERED", 1)
    monkeypatch.setattr("emulator.timing.engine.RECORD_CAPACITY", 1)


@pytest.mark.parametrize("seed", range(60))
def test_any_schedule_gives_the_records_of_one_rank(seed: int) -> None:
    case = a_case(seed)
    if case is not None:
        check(case, seed)


@pytest.mark.parametrize("seed", range(100, 160))
def test_room_for_little_changes_nothing(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    make_everything_small(monkeypatch)
    case = a_case(seed)
    if case is not None:
        check(case, seed)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(10))
def test_many_schedules_give_the_records_of_one_rank(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if block % 2:
        make_everything_small(monkeypatch)
    for seed in range(1000 + 200 * block, 1200 + 200 * block):
        case = a_case(seed)
        if case is not None:
            check(case, seed, promptness=(0.1, 0.5, 1.0)[seed % 3])


@pytest.mark.parametrize(
    ("cycles", "capacity", "program_cycles", "level_cycles"),
    [((3, 0, 0, 3), 2, 1, 1), ((8, 0, 0, 0), 2, 1, 2)],
)
def test_a_firing_that_takes_no_time_does_not_overtake_credit(
    cycles: tuple[int, ...], capacity: int, program_cycles: int, level_cycles: int
) -> None:
    """It ends at the time of the arrival that starts it, when credit of that time has had its turn already."""
    chip = a_chip(rows=8, columns=8, fan_outs=(16,))
    chip = with_latencies(chip, program=program_cycles, outstanding=(8, 8), levels=[level_cycles], hbm=100)
    actors = [actor(site, 1000 * d, n_firings=5) for site, d in zip((0, 1, 8, 2), cycles, strict=True)]
    ends = [(0, 1, 1), (1, 2, 1), (1, 3, capacity)]
    edges = [replace(edge(p, c, n_tokens=5, n_bytes=1, capacity=room), slots=3) for p, c, room in ends]
    program = program_of(16, actors, edges)
    owners = place_owners(columns_of(program), chip, np.array([0, 8, 16]))
    for seed in range(3):
        check(Case(program, chip, owners, 2, 1), seed)
