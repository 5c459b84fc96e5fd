"""Assemble an emulation over ranks and run both planes of it; records go to a sink, numbers about the run come back."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from emulator.chip.spec import Chip
from emulator.mapping.mapping import Mapping
from emulator.network.geometry import Span
from emulator.parallel.comm import Comm
from emulator.parallel.partition import partition_clusters
from emulator.parallel.wire import pack, unpack
from emulator.program.dataflow import Program
from emulator.program.lower import lower_program
from emulator.program.transport import program_from_bytes, program_to_bytes
from emulator.timing.engine import PortTotals, TimingEngine
from emulator.timing.records import TimingSink
from emulator.values.blocks import balanced_blocks
from emulator.values.convolution import Held
from emulator.values.exchange import Traffic
from emulator.values.executor import ValueExecutor, ValueSink
from emulator.values.warm_up import compile_kernels
from emulator.values.weights import ActorWeights, cut_weights
from emulator.values.work import estimate_work, host_costs

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
    """

    mapping: Mapping
    program: Program
    images: NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class RankSummary:
    """What one rank did.

    Attributes:
        clusters: the block of clusters it owns.
        values_s, timing_s: wall time of the planes.
        waited_s: wall time spent waiting for other ranks.
        n_events: timing events handled.
        ports: traffic per port, on the rank that ran the timing plane, else None.
    """

    clusters: Span
    values_s: float
    timing_s: float
    waited_s: float
    traffic: Traffic
    n_events: int
    ports: PortTotals | None


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
    workload: Workload | None, *, comm: Comm, sink: Sink, plane: Plane, on_image: Callable[[int], None]
) -> RankSummary:
    """Run a workload over all ranks of ``comm``; only rank 0 passes one.

    The value plane runs on every rank. The timing plane runs on the last one, which has nothing to compute until the
    first activations reach it.

    Args:
        workload: what to run, on rank 0; None elsewhere.
        comm: the ranks.
        sink: takes this rank's records.
        plane: which planes to run (rank 0's choice counts).
        on_image: hears of every image whose values this rank has finished.

    Raises:
        ParallelError: there are more ranks than clusters with work.
    """
    if workload is not None and plane is not Plane.TIMING:
        compile_kernels(workload.program, is_noisy=False)  # while the other ranks wait for the program
    share = _distribute(workload, comm, plane)
    n_events, ports, timing_s = 0, None, 0.0
    if share.plane is not Plane.VALUES and comm.rank == comm.size - 1:
        began = time.perf_counter()
        engine = TimingEngine(lower_program(share.program, share.chip), share.n_images, sink)
        engine.run()
        n_events, ports, timing_s = engine.n_events, engine.port_totals, time.perf_counter() - began
    traffic, values_s = Traffic(), 0.0
    if share.plane is not Plane.TIMING:
        held = _hand_out_weights(workload, share, comm)
        began = time.perf_counter()
        executor = ValueExecutor(
            share.program,
            Held(held, {}),
            owner_of_site=share.owner_of_site(),
            comm=comm,
            images=workload.images if workload else None,
            n_images=share.n_images,
            sink=sink,
        )
        executor.run(on_image)
        traffic, values_s = executor.traffic, time.perf_counter() - began
    return RankSummary(share.blocks[comm.rank], values_s, timing_s, comm.waited_s, traffic, n_events, ports)


def check_ranks(program: Program, n_ranks: int) -> None:
    """Check that every rank would get work.

    Raises:
        ParallelError: there are more ranks than clusters with work.
    """
    partition_clusters(estimate_work(program), n_ranks)


def _distribute(workload: Workload | None, comm: Comm, plane: Plane) -> _Share:
    data = None
    if workload is not None:
        description = {
            "chip": workload.mapping.chip.model_dump_json(by_alias=True),
            "program": program_to_bytes(workload.program),
            "n_images": len(workload.images),
            "plane": str(plane),
            "blocks": [(b.start, b.end) for b in balanced_blocks(workload.program, host_costs(), comm.size)],
        }
        data = pack(description)
    received = unpack(comm.broadcast_bytes(data, 0))
    program = workload.program if workload else program_from_bytes(received["program"])
    chip = workload.mapping.chip if workload else Chip.model_validate_json(received["chip"])
    blocks = tuple(Span(*bounds) for bounds in received["blocks"])
    return _Share(chip, program, received["n_images"], Plane(received["plane"]), blocks)


def _hand_out_weights(workload: Workload | None, share: _Share, comm: Comm) -> dict[int, ActorWeights]:
    """Send every rank the weights of its own clusters, from rank 0."""
    length = np.zeros(1, np.int64)
    if workload is None:
        comm.wait(comm.irecv(length, 0, _WEIGHTS_TAG))
        buffer = np.empty(int(length[0]), np.uint8)
        comm.wait(comm.irecv(buffer, 0, _WEIGHTS_TAG))
        held = unpack(buffer.tobytes())
        return {actor_id: ActorWeights(*arrays) for actor_id, arrays in held.items()}
    for rank in range(1, comm.size):
        held_there = cut_weights(workload.mapping, workload.program, share.blocks[rank])
        data = pack({i: (w.crossbar, w.offset, w.multiplier) for i, w in held_there.items()})
        comm.wait(comm.isend(np.array([len(data)], np.int64), rank, _WEIGHTS_TAG))
        comm.wait(comm.isend(np.frombuffer(data, np.uint8), rank, _WEIGHTS_TAG))
    return cut_weights(workload.mapping, workload.program, share.blocks[0])
