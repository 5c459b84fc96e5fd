"""Both timing engines against answers that can be worked out on paper.

The chip has a 1 ns cycle, ports of 64 B/cycle and 4 cycles, and clusters 4 to a quadrant. Between two clusters of a
quadrant a burst passes two ports, up and down. ``P`` is the cost of programming the DMA.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from support.programs import actor, chain, edge, program_of
from support.records import MemorySink

from emulator.chip.load import load_chip
from emulator.chip.spec import Chip
from emulator.program.dataflow import Program
from emulator.program.durations import ChipTiming
from emulator.program.lower import lower_program
from emulator.timing.engine import TimingEngine
from emulator.timing.reference_engine import ReferenceEngine
from traces.schema import Resource

CYCLE_PS = 1000
ROOT = Path(__file__).parents[2]

Rows = list[tuple[int, ...]]
Engine = Callable[[Program, Chip, int], tuple[Rows, Rows]]


def run_compiled(program: Program, chip: Chip, n_images: int) -> tuple[Rows, Rows]:
    sink = MemorySink()
    TimingEngine(lower_program(program, chip), n_images, sink).run()
    return sink.rows("firings"), sink.rows("transfers")


def run_reference(program: Program, chip: Chip, n_images: int) -> tuple[Rows, Rows]:
    engine = ReferenceEngine(program, chip, n_images)
    engine.run()
    return sorted(engine.firings), sorted(engine.transfers)


@pytest.fixture(params=[run_compiled, run_reference], ids=["compiled", "reference"])
def engine(request: pytest.FixtureRequest) -> Engine:
    run: Engine = request.param
    return run


@pytest.fixture(scope="module")
def chip() -> Chip:
    return load_chip(ROOT / "configs/chips/small16.yaml")


def program_ps(chip: Chip) -> int:
    return chip.cluster.dma.program_cycles * CYCLE_PS


def ends(firings: Rows, actor_id: int) -> list[int]:
    return [row[4] for row in firings if row[0] == actor_id]


def transfer_ps(n_bytes: int, n_ports: int) -> int:
    """One burst, no contention: the latency of every port and the bytes once (cut-through)."""
    return (n_ports * 4 + -(-n_bytes // 64)) * CYCLE_PS


def test_a_full_array_streams_in_computes_and_streams_out(chip: Chip) -> None:
    timing = ChipTiming(chip)
    synchronization_ps = chip.cluster.synchronization_cycles * CYCLE_PS
    # 256 B / 64 B per cycle + 2 in, 130 ns, 256 B / 64 B per cycle + 4 out; then one job every 130 ns.
    assert timing.mvm_ps(1, 256, 256) == synchronization_ps + (6 + 130 + 8) * CYCLE_PS
    assert timing.mvm_ps(1000, 256, 256) == timing.mvm_ps(1, 256, 256) + 999 * 130 * CYCLE_PS


def test_one_crossbar_working_alone_takes_its_jobs_and_nothing_else(chip: Chip, engine: Engine) -> None:
    duration_ps = ChipTiming(chip).mvm_ps(64, 256, 256)
    program = program_of(16, [actor(3, duration_ps, n_firings=10, resource=Resource.IMA)], [])
    firings, transfers = engine(program, chip, 4)
    assert ends(firings, 0) == [duration_ps * (i + 1) for i in range(40)]
    assert transfers == []


def test_a_chain_of_equal_stages_takes_fill_plus_work(chip: Chip, engine: Engine) -> None:
    n_stages, n_tokens, stage_ps, n_bytes = 5, 20, 200_000, 640
    program = chain(16, [0, 1, 2, 3, 7], [stage_ps] * n_stages, n_tokens=n_tokens, n_bytes=n_bytes, capacity=2)
    firings, _ = engine(program, chip, 1)
    hop_ps = program_ps(chip) + transfer_ps(n_bytes, 2)
    far_hop_ps = program_ps(chip) + transfer_ps(n_bytes, 4)  # cluster 7 is in the next quadrant
    fill_ps = n_stages * stage_ps + 3 * hop_ps + far_hop_ps
    assert max(row[4] for row in firings) == fill_ps + (n_tokens - 1) * stage_ps


@pytest.mark.parametrize("capacity", [1, 2, 3, 5])
@pytest.mark.parametrize(("first_ps", "second_ps"), [(1_000, 1_000), (5_000, 90_000), (120_000, 2_000)])
def test_a_bounded_buffer_runs_at_the_analytic_cycle_mean(
    chip: Chip, engine: Engine, capacity: int, first_ps: int, second_ps: int
) -> None:
    n_tokens, n_bytes = 400, 256
    program = chain(16, [0, 1], [first_ps, second_ps], n_tokens=n_tokens, n_bytes=n_bytes, capacity=capacity)
    firings, _ = engine(program, chip, 1)
    return_ps = 2 * 4 * CYCLE_PS
    move_ps = program_ps(chip) + transfer_ps(n_bytes, 2)
    cycles_ps = [  # mean of every cycle of the graph: time around it over tokens in it
        first_ps,
        second_ps,
        program_ps(chip),  # the DMA programs one transfer at a time
        transfer_ps(n_bytes, 0),  # the ports carry one burst at a time
        (move_ps + second_ps + return_ps) / capacity,  # room at the consumer
        (move_ps + first_ps + return_ps) / 2,  # the producer's two output slots
    ]
    done = ends(firings, 1)
    lcm = 60  # a multiple of every number of tokens in a cycle
    assert done[300] - done[300 - lcm] == pytest.approx(lcm * max(cycles_ps), abs=0)


def test_two_flows_through_one_port_get_half_each(chip: Chip, engine: Engine) -> None:
    n_tokens, n_bytes = 64, 64 * 1000  # a thousand cycles of a port per token

    def makespan(n_flows: int) -> int:
        sources = [actor(i, 0, n_firings=n_tokens) for i in range(n_flows)]  # both in the first quadrant
        sinks = [actor(4 + i, 0, n_firings=n_tokens) for i in range(n_flows)]  # both in the second
        edges = [edge(i, n_flows + i, n_tokens=n_tokens, n_bytes=n_bytes, capacity=4) for i in range(n_flows)]
        firings, _ = engine(program_of(16, sources + sinks, edges), chip, 1)
        return max(row[4] for row in firings)

    alone, together = makespan(1), makespan(2)
    assert alone >= n_tokens * 1000 * CYCLE_PS
    assert together == pytest.approx(2 * alone, rel=0.02)
    assert together >= 2 * n_tokens * 1000 * CYCLE_PS


def test_a_first_read_from_hbm_takes_its_latency_and_its_width(chip: Chip, engine: Engine) -> None:
    n_bytes = 2048
    program = chain(16, [16, 9], [0, 0], n_tokens=1, n_bytes=n_bytes, capacity=1)
    _, transfers = engine(program, chip, 1)
    width = chip.hbm.bytes_per_cycle
    on_chip_ps = 2 * 4 * CYCLE_PS  # two levels down to a cluster
    hbm_ps = (chip.hbm.latency_cycles + n_bytes // min(width, 64)) * CYCLE_PS
    assert transfers == [(0, 0, 0, 0, program_ps(chip), program_ps(chip) + hbm_ps + on_chip_ps)]


def test_reads_from_hbm_share_its_width(chip: Chip, engine: Engine) -> None:
    n_tokens, n_bytes = 50, 64 * 500
    readers = [1, 6, 11, 14]
    sources = [actor(16, 0, n_firings=n_tokens, resource=Resource.NONE) for _ in readers]
    sinks = [actor(cluster, 0, n_firings=n_tokens) for cluster in readers]
    edges = [edge(i, 4 + i, n_tokens=n_tokens, n_bytes=n_bytes, capacity=3) for i in range(4)]
    firings, _ = engine(program_of(16, sources + sinks, edges), chip, 1)
    cycles = 4 * n_tokens * n_bytes // chip.hbm.bytes_per_cycle
    assert max(row[4] for row in firings) == pytest.approx(cycles * CYCLE_PS, rel=0.02)


def test_actors_of_one_cluster_take_turns_and_say_what_they_waited_for(chip: Chip, engine: Engine) -> None:
    program = program_of(16, [actor(0, 10_000, n_firings=2), actor(0, 7_000, n_firings=2)], [])
    firings, _ = engine(program, chip, 1)
    assert firings == [
        (0, 0, 0, 14_000, 24_000, 4, -1),  # the later actor goes first and keeps the cores
        (0, 0, 1, 24_000, 34_000, 1, -1),
        (1, 0, 0, 0, 7_000, 0, -1),
        (1, 0, 1, 7_000, 14_000, 1, -1),
    ]


def test_a_program_that_cannot_go_on_is_reported(chip: Chip, engine: Engine) -> None:
    from dataclasses import replace

    from emulator.errors import ProgramError

    program = chain(16, [0, 1], [10, 10], n_tokens=2, n_bytes=64, capacity=1)
    (channel,) = program.channels
    stuck = replace(program, channels=(replace(channel, need=(2, 2), freed=(0, 2)),))
    with pytest.raises(ProgramError, match="deadlock"):
        engine(stuck, chip, 1)


def test_a_batch_that_outlasts_the_clock_is_no_deadlock(chip: Chip) -> None:
    from emulator.errors import ProgramError

    program = chain(16, [0, 1], [1 << 60, 10], n_tokens=2, n_bytes=64, capacity=1)
    with pytest.raises(ProgramError, match=r"emulated time reaches 4611686018427387904 ps \(53 days\)"):
        run_compiled(program, chip, 3)


def test_a_batch_that_outlasts_the_clock_is_no_deadlock_on_two_ranks() -> None:
    from dataclasses import replace

    from support.emulations import emulate_on_ranks
    from support.networks import a_chip, a_small_workload

    from emulator.emulation import Plane
    from emulator.errors import ProgramError

    workload = a_small_workload(a_chip(rows=16, columns=8, fan_outs=(8, 32)), 3)
    program = workload.program
    slow = tuple(
        replace(each, durations_ps=tuple(ps and 1 << 58 for ps in each.durations_ps)) for each in program.actors
    )
    with pytest.raises(ProgramError, match="emulated time reaches"):
        emulate_on_ranks(replace(workload, program=replace(program, actors=slow)), 2, Plane.TIMING)
