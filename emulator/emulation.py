"""Assemble an emulation over ranks and run both planes of it; records go to a sink, numbers about the run come back."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from emulator.chip.spec import Chip
from emulator.mapping.mapping import Mapping
from emulator.network.geometry import Span
from emulator.parallel.comm import Comm
from emulator.parallel.wire import pack, unpack
from emulator.program.columns import Columns, columns_of
from emulator.program.cuts import partition_events
from emulator.program.dataflow import Program
from emulator.program.lower import lower, lower_program
from emulator.program.ownership import boundary_tokens, place_owners
from emulator.program.transport import program_from_bytes, program_to_bytes
from emulator.timing.engine import PortTotals, TimingEngine
from emulator.timing.records import TimingSink
from emulator.timing.sync import RankTiming, SyncCounts, compile_timing
from emulator.values.blocks import balanced_blocks
from emulator.values.conversions import Conversions, count_conversions
from emulator.values.convolution import Held
from emulator.values.crossbars import is_ideal
from emulator.values.exchange import Traffic
from emulator.values.executor import ValueExecutor, ValueSink
from emulator.values.holdings import AnalogSetup, Holdings
from emulator.values.warm_up import compile_kernels
from emulator.values.weights import cut_weights
from emulator.values.work import host_costs

_WEIGHTS_TAG = 0


class Plane(StrEnum):
    """Which planes of the program to run."""

    BOTH = "both"
    VALUES = "values"
    TIMING = "timing"


class Sink(TimingSink, ValueSink, Protocol):
    """Takes the records of both planes."""


@dataclass(frozen=True, slots=True, eq=False)
class Workload:
    """What rank 0 has prepared.

    Attributes:
        images: quantised network input, (n_images, height, width, channels).
        analog: how the chip's crossbars are set up; of no account for ideal ones.
    """

    mapping: Mapping
    program: Program
    images: NDArray[np.generic]
    analog: AnalogSetup = field(default_factory=AnalogSetup)


@dataclass(frozen=True, slots=True)
class RankSummary:
    """What one rank did.

    Attributes:
        clusters: the block of clusters it owns.
        values_s, timing_s: wall time of the planes.
        waited_s: wall time spent waiting for other ranks.
        n_events: timing events handled.
        n_boundary_tokens: tokens that this rank sent to other ranks.
        sync: what keeping time with the other ranks took.
        ports: traffic of the rank's ports, None if the timing plane did not run.
        conversions: of the analog crossbars on this rank, by MVM actor.
    """

    clusters: Span
    values_s: float
    timing_s: float
    waited_s: float
    traffic: Traffic
    n_events: int
    n_boundary_tokens: int
    sync: SyncCounts
    ports: PortTotals | None
    conversions: dict[int, Conversions]


@dataclass(frozen=True, slots=True)
class Timed:
    """What one rank did in the timing plane (see ``RankSummary``)."""

    n_events: int = 0
    n_boundary_tokens: int = 0
    sync: SyncCounts = field(default_factory=SyncCounts)
    ports: PortTotals | None = None
    wall_s: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class _Share:
    """What every rank knows before it starts."""

    chip: Chip
    program: Program
    n_images: int
    plane: Plane
    blocks: tuple[Span, ...]  # clusters of each rank

    def owner_of_site(self) -> list[int]:
        owners = [rank for rank, block in enumerate(self.blocks) for _ in range(len(block))]
        return [*owners, 0]  # the HBM is rank 0's, where the images are


def emulate(
    workload: Workload | None,
    *,
    comm: Comm,
    sink: Sink,
    plane: Plane,
    split_timing: bool,
    on_image: Callable[[int], None],
) -> RankSummary:
    """Run a workload over all ranks of ``comm``; only rank 0 passes one.

    Args:
        workload: what to run, on rank 0; None elsewhere.
        comm: the ranks.
        sink: takes this rank's records.
        plane: which planes to run (rank 0's choice counts).
        split_timing: whether every rank times its own clusters (the same choice on every rank); else the last rank,
            which has nothing to compute until the first activations reach it, times all of them.
        on_image: hears of every image whose values this rank has finished.

    Raises:
        ParallelError: there are more ranks than clusters with work.
    """
    if plane is not Plane.VALUES and split_timing and comm.size > 1 and comm.rank == comm.size - 1:
        compile_timing()  # once for all, while rank 0 prepares
    if workload is not None and plane is not Plane.TIMING:
        is_noisy = not is_ideal(workload.mapping.chip.cluster.ima)
        compile_kernels(workload.program, is_noisy=is_noisy)  # while the other ranks wait for the program
    share = _distribute(workload, comm, plane)
    timed = Timed() if share.plane is Plane.VALUES else _time(share, comm, sink, split=split_timing)
    traffic, values_s, conversions = Traffic(), 0.0, dict[int, Conversions]()
    if share.plane is not Plane.TIMING:
        holdings = _hand_out(workload, share, comm)
        analog = holdings.make_crossbars(share.program, share.chip.cluster.ima)
        began = time.perf_counter()
        executor = ValueExecutor(
            share.program,
            Held(holdings.weights, analog),
            owner_of_site=share.owner_of_site(),
            comm=comm,
            images=workload.images if workload else None,
            n_images=share.n_images,
            sink=sink,
        )
        executor.run(on_image)
        traffic, values_s = executor.traffic, time.perf_counter() - began
        conversions = count_conversions(share.program, analog, share.n_images, executor.n_clipped())
    return RankSummary(
        clusters=share.blocks[comm.rank],
        values_s=values_s,
        timing_s=timed.wall_s,
        waited_s=comm.waited_s,
        traffic=traffic,
        n_events=timed.n_events,
        n_boundary_tokens=timed.n_boundary_tokens,
        sync=timed.sync,
        ports=timed.ports,
        conversions=conversions,
    )


def check_ranks(workload: Workload, plane: Plane, n_ranks: int) -> None:
    """Check that every rank would get work.

    Raises:
        ParallelError: there are more ranks than clusters with work.
    """
    _blocks(workload, plane, n_ranks)


def _blocks(workload: Workload, plane: Plane, n_ranks: int) -> tuple[Span, ...]:
    """Cut the clusters into a block per rank, for both planes: where both run, values take by far the longer."""
    if plane is not Plane.TIMING:
        is_noisy = not is_ideal(workload.mapping.chip.cluster.ima)
        return balanced_blocks(workload.program, host_costs(is_noisy=is_noisy), n_ranks)
    bounds = partition_events(columns_of(workload.program), workload.mapping.chip, n_ranks)
    return tuple(Span(int(a), int(b)) for a, b in pairwise(bounds))


def time_part(
    columns: Columns, chip: Chip, bounds: NDArray[np.int64], n_images: int, *, comm: Comm, sink: TimingSink
) -> Timed:
    """Run the timing plane over the ranks of ``comm``; each lowers and holds its own part of the program.

    Args:
        columns: the program, the same on every rank.
        chip: the chip it runs on.
        bounds: (size + 1,), the block of clusters of each rank.
        n_images: images in the batch.
        comm: the ranks.
        sink: takes this rank's records.
    """
    comm.barrier()  # the kernels are compiled now
    began = time.perf_counter()
    owners = place_owners(columns, chip, bounds)
    n_tokens = n_images * int(boundary_tokens(columns, owners)[comm.rank])
    timing = RankTiming(lower(columns, chip, owners, comm.rank), n_images, sink, comm)
    timing.run()
    wall_s = time.perf_counter() - began
    return Timed(timing.engine.n_events, n_tokens, timing.counts, timing.engine.port_totals, wall_s)


def _time(share: _Share, comm: Comm, sink: TimingSink, *, split: bool) -> Timed:
    if split and comm.size > 1:
        bounds = np.array([*(block.start for block in share.blocks), share.blocks[-1].end])
        return time_part(columns_of(share.program), share.chip, bounds, share.n_images, comm=comm, sink=sink)
    if comm.rank < comm.size - 1:
        return Timed()
    began = time.perf_counter()
    engine = TimingEngine(lower_program(share.program, share.chip), share.n_images, sink)
    engine.run()
    wall_s = time.perf_counter() - began
    return Timed(n_events=engine.n_events, ports=engine.port_totals, wall_s=wall_s)


def _distribute(workload: Workload | None, comm: Comm, plane: Plane) -> _Share:
    data = None
    if workload is not None:
        description = {
            "chip": workload.mapping.chip.model_dump_json(by_alias=True),
            "program": program_to_bytes(workload.program),
            "n_images": len(workload.images),
            "plane": str(plane),
            "blocks": [(block.start, block.end) for block in _blocks(workload, plane, comm.size)],
        }
        data = pack(description)
    received = unpack(comm.broadcast_bytes(data, 0))
    program = workload.program if workload else program_from_bytes(received["program"])
    chip = workload.mapping.chip if workload else Chip.model_validate_json(received["chip"])
    blocks = tuple(Span(*bounds) for bounds in received["blocks"])
    return _Share(chip, program, received["n_images"], Plane(received["plane"]), blocks)


def _hand_out(workload: Workload | None, share: _Share, comm: Comm) -> Holdings:
    """Send every rank what its own clusters hold, from rank 0."""
    length = np.zeros(1, np.int64)
    if workload is None:
        comm.wait(comm.irecv(length, 0, _WEIGHTS_TAG))
        buffer = np.empty(int(length[0]), np.uint8)
        comm.wait(comm.irecv(buffer, 0, _WEIGHTS_TAG))
        return Holdings.from_bytes(buffer.tobytes())
    for rank in range(1, comm.size):
        data = _cut(workload, share.blocks[rank]).to_bytes()
        comm.wait(comm.isend(np.array([len(data)], np.int64), rank, _WEIGHTS_TAG))
        comm.wait(comm.isend(np.frombuffer(data, np.uint8), rank, _WEIGHTS_TAG))
    return _cut(workload, share.blocks[0])


def _cut(workload: Workload, clusters: Span) -> Holdings:
    return Holdings.cut(cut_weights(workload.mapping, workload.program, clusters), workload.analog)
