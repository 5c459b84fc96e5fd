"""The compiled engine against the plain one on random programs, and against itself cut into several engines."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.programs import actor, program_of
from support.records import MemorySink

from emulator.chip.load import load_chip
from emulator.chip.spec import Chip
from emulator.errors import CausalityError
from emulator.network.geometry import Span
from emulator.program.dataflow import Channel, Program
from emulator.program.lower import Tables, lower_program
from emulator.program.token_game import TokenGame
from emulator.timing.engine import END_OF_TIME_PS, TimingEngine
from emulator.timing.reference_engine import ReferenceEngine
from traces.schema import Resource

CHIP = load_chip(Path(__file__).parents[2] / "configs/chips/small16.yaml")


@st.composite
def channels(draw: st.DrawFn, producer: int, consumer: int, n_tokens: int, n_firings: int) -> Channel:
    """Draw a channel with random but legal consumption and at least the room that one firing needs."""
    need = sorted(draw(st.lists(st.integers(0, n_tokens), min_size=n_firings, max_size=n_firings)))
    need[-1] = n_tokens
    freed = sorted(draw(st.integers(0, n)) for n in need)
    freed = [min(f, n) for f, n in zip(freed, need, strict=True)]
    freed[-1] = n_tokens
    window = max(n - f for n, f in zip(need, [0, *freed[:-1]], strict=True))
    capacity = max(1, window) + draw(st.integers(0, 3))
    sizes = tuple(draw(st.integers(1, 6000)) for _ in range(n_tokens))
    tokens, slots = tuple(range(n_tokens)), draw(st.integers(1, 4))
    return Channel(-1, producer, consumer, 0, Span(0, 1), tokens, sizes, tuple(need), tuple(freed), capacity, slots)


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Draw a small acyclic program with shared clusters, HBM traffic, fan-out and fan-in."""
    n_actors = draw(st.integers(2, 7))
    actors = []
    for _ in range(n_actors):
        site = draw(st.integers(0, 16))
        resource = Resource.NONE if site == 16 else draw(st.sampled_from([Resource.IMA, Resource.CORES]))
        actors.append(
            actor(site, draw(st.integers(0, 300)) * 1000, n_firings=draw(st.integers(1, 4)), resource=resource)
        )
    edges = []
    for consumer in range(1, n_actors):
        producers = sorted(draw(st.sets(st.integers(0, consumer - 1), max_size=3)))
        edges += [draw(channels(p, consumer, actors[p].n_firings, actors[consumer].n_firings)) for p in producers]
    return program_of(16, actors, edges)


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


def owners(tables: Tables, cuts: list[int]) -> NDArray[np.int64]:
    """Give blocks of whole quadrants of the 16-cluster chip to engines; ports above a block go to the first engine."""
    from emulator.chip.topology import build_topology

    owner = np.zeros(tables.n_places, np.int64)
    owner[:16] = np.searchsorted(cuts, np.arange(16), side="right")
    for i, port in enumerate(build_topology(CHIP).ports):
        inside = set(owner[port.first_cluster : port.end_cluster].tolist())
        owner[17 + i] = inside.pop() if len(inside) == 1 else 0
    return owner


def run_in_windows(tables: Tables, n_images: int, owner: NDArray[np.int64], window_ps: int) -> MemorySink:
    """Advance one engine per owner in lock-step windows, passing events between them in an adverse order."""
    sink = MemorySink()
    engines = [TimingEngine(tables, n_images, sink, owner == i) for i in range(int(owner.max()) + 1)]
    horizon = 0
    while horizon < END_OF_TIME_PS:
        sent = np.concatenate([engine.advance(horizon) for engine in reversed(engines)])[::-1]
        for i, engine in enumerate(engines):
            engine.deliver(sent[owner[sent[:, 1] >> 3] == i])
        earliest = min(engine.next_ps for engine in engines)
        horizon = END_OF_TIME_PS if earliest == END_OF_TIME_PS else earliest + window_ps
    for engine in engines:
        engine.flush()
        assert engine.finished
    return sink


@settings(max_examples=60, deadline=None)
@given(program=programs(), cuts=st.sampled_from([[8], [4], [4, 8], [4, 8, 12]]))
def test_engines_that_share_the_chip_give_the_records_of_one(program: Program, cuts: list[int]) -> None:
    if not TokenGame(program, 1).play():
        return
    tables = lower_program(program, CHIP)
    whole = MemorySink()
    TimingEngine(tables, 2, whole).run()
    parts = run_in_windows(tables, 2, owners(tables, cuts), window_ps=4 * CHIP.cycle_ps)
    assert parts.rows("firings") == whole.rows("firings")
    assert parts.rows("transfers") == whole.rows("transfers")


def test_an_event_from_the_past_is_a_causality_error(small_chain: Program) -> None:
    engine = TimingEngine(lower_program(small_chain, CHIP), 1, MemorySink())
    engine.run()
    with pytest.raises(CausalityError, match="at 5 ps arrived at"):
        engine.deliver(np.array([[5, 0, 0, 0, 0, 0]]))


@pytest.fixture
def small_chain() -> Program:
    from support.programs import chain

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
