"""The timing plane over ranks: the records of one rank, whatever the program, the interconnect and the partition."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.cases import with_latencies
from support.networks import a_chip, a_small_workload
from support.programs import actor, chain, edge, program_of, programs
from support.records import MemorySink

from emulator.chip.load import load_chip
from emulator.chip.spec import Chip
from emulator.errors import CausalityError
from emulator.parallel.local_comm import LocalComm, run_local
from emulator.program.columns import columns_of
from emulator.program.cuts import partition_events
from emulator.program.dataflow import Program
from emulator.program.lower import lower, lower_program
from emulator.program.ownership import boundary_tokens, place_owners
from emulator.program.token_game import TokenGame
from emulator.timing import sync
from emulator.timing.engine import END_OF_TIME_PS, TimingEngine
from emulator.timing.links import HEADER
from emulator.timing.reference_engine import ReferenceEngine
from emulator.timing.sync import RankTiming
from launch.prepare import map_only


@pytest.fixture(autouse=True, scope="module")
def _compiled() -> None:
    sync.compile_timing()  # before limits on waiting apply


CONFIGS = Path(__file__).parents[2] / "configs"
FAN_OUTS = [(16,), (4, 4), (2, 2, 2, 2), (2, 8), (8, 2), (1, 4, 1, 4)]


def time_on_ranks(
    program: Program,
    chip: Chip,
    bounds: list[int],
    n_images: int,
    owners: NDArray[np.int64] | None = None,
) -> tuple[list[RankTiming], MemorySink]:
    """Time a program on threads; returns each rank's engine, and the records of all."""
    columns = columns_of(program)
    owners = place_owners(columns, chip, np.array(bounds)) if owners is None else owners
    everything = MemorySink()

    def main(comm: LocalComm) -> RankTiming:
        timing = RankTiming(lower(columns, chip, owners, comm.rank), n_images, everything, comm)
        timing.run()
        return timing

    return run_local(main, len(bounds) - 1), everything


@st.composite
def partitions(draw: st.DrawFn, n_clusters: int) -> list[int]:
    """Draw block boundaries anywhere, blocks without a cluster included."""
    cuts = draw(st.lists(st.integers(0, n_clusters), min_size=1, max_size=7))
    return [0, *sorted(cuts), n_clusters]


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(program=programs(), fan_outs=st.sampled_from(FAN_OUTS), bounds=partitions(16), n_images=st.integers(1, 3))
def test_ranks_give_the_records_of_the_reference(
    program: Program, fan_outs: tuple[int, ...], bounds: list[int], n_images: int
) -> None:
    if not TokenGame(program, 1).play():
        return  # a random fork and join may lock up; the program check refuses those
    chip = a_chip(rows=8, columns=8, fan_outs=fan_outs)
    reference = ReferenceEngine(program, chip, n_images)
    reference.run()
    ranks, records = time_on_ranks(program, chip, bounds, n_images)
    assert records.rows("firings") == sorted(reference.firings)
    assert records.rows("transfers") == sorted(reference.transfers)
    assert sum(rank.engine.n_events for rank in ranks) == reference.n_events
    totals = np.zeros(len(reference.ports), np.int64)
    for rank in ranks:
        totals[rank.engine.port_totals.port] += rank.engine.port_totals.busy_ps
    assert totals.tolist() == [port.busy_ps for port in reference.ports]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(program=programs(), fan_outs=st.sampled_from(FAN_OUTS), data=st.data())
def test_any_owner_of_any_port_gives_the_same_records(
    program: Program, fan_outs: tuple[int, ...], data: st.DataObject
) -> None:
    if not TokenGame(program, 1).play():
        return
    chip = a_chip(rows=8, columns=8, fan_outs=fan_outs)
    columns, n_ranks = columns_of(program), data.draw(st.integers(2, 4))
    owners = place_owners(columns, chip, np.array([0, *[16] * n_ranks]))
    seed = data.draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    owners[:] = rng.integers(0, n_ranks, len(owners))  # sites, too: no block at all
    first_edge = len(owners) - 4 * 17  # the edges of single clusters, then that of the HBM
    for site in range(17):  # the first port of a route is the sender's
        for lane in (0, 2):
            owners[first_edge + 4 * site + lane] = owners[site]
    whole = MemorySink()
    TimingEngine(lower_program(program, chip), 2, whole).run()
    _, records = time_on_ranks(program, chip, [0, *[16] * n_ranks], 2, owners)
    assert records.rows("firings") == whole.rows("firings")
    assert records.rows("transfers") == whole.rows("transfers")


@pytest.mark.parametrize("n_ranks", [2, 3, 5, 8])
def test_a_network_with_residuals_gives_the_records_of_one_rank(n_ranks: int) -> None:
    chip = a_chip(rows=16, columns=8, fan_outs=(4, 4, 8))
    program = a_small_workload(chip, n_images=1).program
    whole = MemorySink()
    TimingEngine(lower_program(program, chip), 4, whole).run()
    used = sorted({actor.site for actor in program.actors if actor.site < chip.n_clusters})
    bounds = [0, *(used[len(used) * i // n_ranks] for i in range(1, n_ranks)), chip.n_clusters]
    _, records = time_on_ranks(program, chip, bounds, 4)
    assert records.rows("firings") == whole.rows("firings")
    assert records.rows("transfers") == whole.rows("transfers")


@given(program=programs(), bounds=partitions(16))
def test_parts_hold_every_actor_once_and_only_channels_that_concern_them(program: Program, bounds: list[int]) -> None:
    chip, columns = a_chip(rows=8, columns=8, fan_outs=(2, 8)), columns_of(program)
    owners = place_owners(columns, chip, np.array(bounds))
    parts = [lower(columns, chip, owners, rank) for rank in range(len(bounds) - 1)]
    held = np.concatenate([part.actor_id for part in parts])
    assert sorted(held.tolist()) == list(range(len(program.actors)))
    for part, (begin, end) in zip(parts, pairwise(bounds), strict=True):
        clusters = {program.actors[i].site for i in part.actor_id.tolist()} - {16}
        assert all(begin <= cluster < end for cluster in clusters)
        for channel, row in zip(part.channel_id.tolist(), part.channels, strict=True):
            ports = part.n_sites + part.route_port[row["route_start"] : row["route_end"]]
            places = [row["producer_site"], row["consumer_site"], *ports]
            assert part.rank in part.place_owner[places]
            producer = program.channels[channel].producer
            assert row["producer"] == (part.actor_id.tolist().index(producer) if producer in part.actor_id else -1)


def test_messages_of_a_pipeline_are_few() -> None:
    n_tokens, n_images = 32, 8
    program = chain(
        16, [0, 1, 8, 9], [5_000_000, 4_000_000, 6_000_000, 3_000_000], n_tokens=n_tokens, n_bytes=9000, capacity=2
    )
    chip = a_chip(rows=8, columns=8, fan_outs=(2, 8))
    ranks, _ = time_on_ranks(program, chip, [0, 8, 16], n_images)
    columns = columns_of(program)
    per_image = boundary_tokens(columns, place_owners(columns, chip, np.array([0, 8, 16])))
    assert per_image.tolist() == [n_tokens, 0]
    assert 0 < sum(rank.counts.n_messages for rank in ranks) <= 3 * n_tokens * n_images


def test_messages_are_few_while_a_short_firing_waits_for_cores_that_a_long_one_holds() -> None:
    """Its credit cannot come before the long one ends, and the ranks need not ask each other until then."""
    n_tokens, chip = 4, a_chip(rows=8, columns=8, fan_outs=(2, 8))
    actors = [actor(site, ps, n_firings=n_tokens) for site, ps in ((8, 1000), (0, 0), (0, 100_000_000))]
    program = program_of(16, actors, [edge(0, 1, n_tokens=n_tokens, n_bytes=64, capacity=1)])
    ranks, _ = time_on_ranks(program, chip, [0, 8, 16], n_images=1)
    assert sum(rank.counts.n_messages for rank in ranks) <= 12 * n_tokens


@pytest.mark.parametrize("sites", [[16, 0, 8, 1], [8, 0, 16]])
def test_messages_are_few_while_a_token_or_its_answer_is_on_a_long_way(sites: list[int]) -> None:
    """Stages that take no time wait for a token from the HBM, or for room while one is on its way to it."""
    n_tokens, chip = 4, a_chip(rows=8, columns=8, fan_outs=(2, 8))
    chip = with_latencies(chip, program=0, outstanding=(8, 8), levels=[1, 1], hbm=100_000)
    program = chain(16, sites, [0] * len(sites), n_tokens=n_tokens, n_bytes=64, capacity=1)
    ranks, _ = time_on_ranks(program, chip, [0, 8, 16], n_images=1)
    assert sum(rank.counts.n_messages for rank in ranks) <= 20 * n_tokens


def test_a_promise_that_is_not_kept_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    collect = RankTiming._collect

    def believe_too_much(timing: RankTiming) -> None:
        collect(timing)
        for link, slot in np.argwhere(timing._sizes > 0):
            n_flows = np.diff(timing._border.in_start)[link]
            timing._inbox[link, slot, HEADER : HEADER + n_flows] = END_OF_TIME_PS - 1

    monkeypatch.setattr(RankTiming, "_collect", believe_too_much)
    program = chain(16, [0, 8, 1], [1000, 1000, 1000], n_tokens=4, n_bytes=64, capacity=2)
    with pytest.raises(CausalityError, match=r"rank \d sent an event for place \d+ at \d+ ps, which rank \d cannot"):
        time_on_ranks(program, a_chip(rows=8, columns=8, fan_outs=(2, 8)), [0, 8, 16], 2)


def test_messages_that_carry_many_events_arrive_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Full outboxes, full records and rings of messages with room for one change nothing."""
    chip = a_chip(rows=16, columns=8, fan_outs=(4, 4, 8))
    program = a_small_workload(chip, n_images=1).program
    whole = MemorySink()
    TimingEngine(lower_program(program, chip), 40, whole).run()
    monkeypatch.setattr(sync, "BATCH_EVENTS", 1)
    monkeypatch.setattr(sync, "_N_SLOTS", 1)
    monkeypatch.setattr("emulator.timing.engine.RECORD_CAPACITY", 8)
    cut = int(np.median([actor.site for actor in program.actors]))
    _, records = time_on_ranks(program, chip, [0, cut, chip.n_clusters], 40)
    assert records.rows("firings") == whole.rows("firings")
    assert records.rows("transfers") == whole.rows("transfers")


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["naive", "paper", "replicated"])
def test_the_main_job_gives_the_records_of_one_rank_on_any_number(policy: str) -> None:
    _, program = map_only(CONFIGS / f"runs/resnet18-{policy}.yaml", lambda *_: None)
    chip, columns = load_chip(CONFIGS / "chips/bruschi2023.yaml"), columns_of(program)
    whole = MemorySink()
    TimingEngine(lower_program(program, chip), 1, whole).run()
    for n_ranks in (2, 3, 4, 5, 7, 8, 16, 32):
        bounds = partition_events(columns, chip, n_ranks).tolist()
        _, records = time_on_ranks(program, chip, bounds, 1)
        assert records.rows("firings") == whole.rows("firings"), n_ranks
        assert records.rows("transfers") == whole.rows("transfers"), n_ranks
