"""The timing plane over ranks that take turns as a seed says, on cases made to be hard; failures come back."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.cases import Case, a_case, with_latencies
from support.networks import a_chip
from support.programs import actor, chain, edge, program_of
from support.records import MemorySink
from support.schedule import run_scheduled

from emulator.network.geometry import Span
from emulator.program.columns import columns_of
from emulator.program.dataflow import Channel
from emulator.program.lower import lower, lower_program
from emulator.program.ownership import place_owners
from emulator.timing import sync
from emulator.timing.border import Border, border_of
from emulator.timing.engine import TimingEngine
from emulator.timing.links import Links, links_of
from emulator.timing.messages import helps
from emulator.timing.state import NEVER
from emulator.timing.sync import RankTiming
from traces.schema import Resource


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


#: Owners of clusters, HBM, drain and ports, a digit each.
_OWNERS = "2004422242410423113230020320220104000242444244212324222323404122204144131203014344242430331314"
_STAGES = [  # site, resource, cycles
    (15, 2, (4, 100, 8, 34, 100, 34, 100)),
    (11, 2, (100, 8)),
    (11, 2, (0, 0, 0, 0, 0, 0)),
    (15, 2, (8, 34, 4, 1, 8, 34, 4)),
    (5, 1, (4,)),
    (5, 2, (1, 0, 0, 4)),
    (15, 2, (30, 2, 8, 2, 100, 100, 4)),
]
_EDGES = [  # producer, consumer, tokens, bytes, need, freed, capacity, slots
    (0, 1, (0, 1, 2, 3, 4, 5, 6), (1, 1, 64, 128, 4096, 6000, 2049), (3, 7), (3, 7), 4, 1),
    (1, 2, (0,), (2049,), (0, 0, 1, 1, 1, 1), (0, 0, 0, 1, 1, 1), 4, 2),
    (0, 2, tuple(range(7)), (6000, 64, 2049, 6000, 4096, 2049, 2049), (0, 2, 3, 4, 6, 7), (0, 2, 2, 2, 2, 7), 5, 1),
    (2, 3, (0, 1, 2, 3, 4, 5), (128, 4096, 2049, 6000, 1, 4096), (0, 0, 0, 1, 1, 3, 6), (0, 0, 0, 1, 1, 3, 6), 3, 1),
    (3, 4, (0, 1, 2, 3, 4, 5, 6), (64, 128, 64, 2048, 64, 6000, 1), (7,), (7,), 10, 3),
    (0, 4, (0, 2, 5), (2049, 2049, 64), (3,), (3,), 4, 2),
    (1, 5, (0, 1), (6000, 64), (0, 0, 2, 2), (0, 0, 2, 2), 3, 3),
    (3, 6, tuple(range(7)), (64, 2049, 64, 4096, 2049, 64, 2048), (0, 2, 3, 4, 5, 7, 7), (0, 2, 3, 4, 5, 7, 7), 2, 3),
]  # fmt: skip


def test_nobody_waits_for_acknowledgements_that_have_been_handled() -> None:
    """A queue at its limit whose bursts to other ranks are acknowledged in the round in which it holds others up."""
    actors = [
        replace(actor(s, 0, n_firings=len(d), resource=Resource(r)), durations_ps=tuple(1000 * x for x in d))
        for s, r, d in _STAGES
    ]
    channels = [Channel(-1, p, c, 0, Span(0, 1), *rest) for p, c, *rest in _EDGES]
    chip = a_chip(rows=8, columns=8, fan_outs=(2, 8))
    chip = with_latencies(chip, program=0, outstanding=(1, 2), levels=[1, 20], hbm=100)
    case = Case(program_of(16, actors, channels), chip, np.array([int(digit) for digit in _OWNERS]), 5, 3)
    for seed in range(60):
        check(case, seed, (0.1, 0.5, 0.9)[seed % 3])


def links_of_pair(capacity: int, rank: int) -> tuple[Border, Links]:
    """Return border and links of one of two ranks, each with one stage of a pipeline."""
    chip = a_chip(rows=8, columns=8, fan_outs=(2, 8))
    columns = columns_of(chain(16, [0, 8], [1000, 1000], n_tokens=2, n_bytes=64, capacity=capacity))
    tables = lower(columns, chip, place_owners(columns, chip, np.array([0, 8, 16])), rank)
    border = border_of(tables)
    return border, links_of(tables, border, 1)


def test_that_nothing_more_will_leave_is_told_to_a_peer_that_gets_credits_alone() -> None:
    """Or two ranks between which only credits pass both wait, at the end, for the other to say that it is done."""
    border, links = links_of_pair(capacity=1, rank=1)
    assert len(border.news_out)
    assert border.news_out.all()
    links.latest_ps[:] = NEVER - 1
    assert not helps(border, links, 0, waits=False)
    links.latest_ps[:] = NEVER
    assert helps(border, links, 0, waits=False)
    links.promised_ps[:] = NEVER
    assert not helps(border, links, 0, waits=False)


def test_a_rank_that_can_go_on_tells_only_what_lets_its_peer_go_on() -> None:
    border, links = links_of_pair(capacity=1, rank=0)
    assert not border.news_out.all()
    links.state[0]["peer_next_ps"] = 9000
    for latest_ps, helps_now in ((8999, False), (9000, False), (9001, True)):
        links.latest_ps[:] = latest_ps
        assert helps(border, links, 0, waits=False) == helps_now
        assert helps(border, links, 0, waits=True)
