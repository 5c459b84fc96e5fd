"""The compiled engine against the plain one on random programs, and against itself cut into several engines."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.programs import actor, chain, program_of, programs
from support.records import MemorySink

from emulator.chip.load import load_chip
from emulator.chip.spec import Chip
from emulator.errors import CausalityError
from emulator.program.columns import columns_of
from emulator.program.dataflow import Program
from emulator.program.lower import lower, lower_program
from emulator.program.ownership import place_owners
from emulator.program.token_game import TokenGame
from emulator.timing import kernel
from emulator.timing.engine import TimingEngine
from emulator.timing.reference_engine import ReferenceEngine

CHIP = load_chip(Path(__file__).parents[2] / "configs/chips/small16.yaml")


def run_reference(program: Program, n_images: int) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    engine = ReferenceEngine(program, CHIP, n_images)
    engine.run()
    return sorted(engine.firings), sorted(engine.transfers)


@settings(max_examples=150, deadline=None)
@given(program=programs(), n_images=st.integers(1, 3))
def test_the_compiled_engine_repeats_the_reference_record_for_record(program: Program, n_images: int) -> None:
    if not TokenGame(program, 1).play():
        return  # a random fork and join may lock up; the program check refuses those
    sink = MemorySink()
    TimingEngine(lower_program(program, CHIP), n_images, sink).run()
    assert (sink.rows("firings"), sink.rows("transfers")) == run_reference(program, n_images)


def deliver(engine: TimingEngine, event: list[int], source: int) -> None:
    """Give an engine an event from another rank, as ``messages`` does and ``sync`` refuses what it cannot take."""
    rows = np.array([event])
    engine.make_room(1)
    if kernel.deliver(engine.tables, engine.state, rows) >= 0:
        engine.refuse(rows[0], source)


def test_an_event_from_the_past_is_a_causality_error_that_names_both_ends(small_chain: Program) -> None:
    engine = TimingEngine(lower_program(small_chain, CHIP), 1, MemorySink())
    engine.run()
    arrival = 3
    with pytest.raises(CausalityError, match=r"rank 3 sent an event for place 5 at 7 ps, which rank 0 cannot take"):
        deliver(engine, [7, 5 * 8 + arrival, 0, 64, 0, 0], source=3)


def test_an_acknowledgement_by_which_something_has_gone_already_is_a_causality_error(small_chain: Program) -> None:
    engine = TimingEngine(lower_program(small_chain, CHIP), 1, MemorySink())
    engine.run()
    engine.state.relied_ps[:] = 8
    acknowledgement = 1
    with pytest.raises(CausalityError, match="rank 2 sent an event for place 0 at 7 ps"):
        deliver(engine, [7, acknowledgement, 0, 64, 0, 0], source=2)


def test_credit_for_which_a_token_has_waited_longer_already_is_a_causality_error() -> None:
    program = chain(16, [0, 5], [1000, 900_000], n_tokens=6, n_bytes=64, capacity=1)
    engine = TimingEngine(lower_program(program, CHIP), 1, MemorySink())
    engine.run()
    lacked_ps, credit = int(engine.state.channels["lacked_ps"].max()), 2
    channel = int(engine.state.channels["lacked_ps"].argmax())
    place = int(engine.tables.place_id[engine.tables.channels["producer_site"][channel]])
    assert lacked_ps > 0
    deliver(engine, [lacked_ps, place * 8 + credit, channel, 1, 0, 0], source=2)  # nobody has missed it
    with pytest.raises(CausalityError, match=f"rank 2 sent an event for place {place} at {lacked_ps - 1} ps"):
        deliver(engine, [lacked_ps - 1, place * 8 + credit, channel, 1, 0, 0], source=2)


def test_an_event_for_a_place_elsewhere_is_a_causality_error(small_chain: Program) -> None:
    columns = columns_of(small_chain)
    owners = place_owners(columns, CHIP, np.array([0, 3, 16]))
    engine = TimingEngine(lower(columns, CHIP, owners, rank=1), 1, MemorySink())
    credit = 2
    with pytest.raises(CausalityError, match=r"rank 0 sent .* and does not own the place"):
        deliver(engine, [5, credit, 0, 0, 0, 0], source=0)


@pytest.fixture
def small_chain() -> Program:
    return chain(16, [0, 5], [1000, 1000], n_tokens=2, n_bytes=64, capacity=2)


def test_records_beyond_the_buffer_all_reach_the_sink() -> None:
    program = program_of(16, [actor(0, 1000, n_firings=50_000), actor(1, 1000, n_firings=50_000)], [])
    sink = MemorySink()
    TimingEngine(lower_program(program, CHIP), 2, sink).run()
    assert len(sink.batches["firings"]) > 1
    assert len(sink.rows("firings")) == 200_000


def test_chip_is_the_one_the_tests_assume() -> None:
    assert isinstance(CHIP, Chip)
    assert (CHIP.n_clusters, CHIP.cycle_ps) == (16, 1000)
