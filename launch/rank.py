"""What every rank runs: prepare on rank 0, emulate everywhere, merge the trace on rank 0.

A mistake of the user is found on rank 0 before work begins; all ranks then end with its exit code and it is printed
once. A failure later on, on any rank, is printed once with the rank's number and ends the whole job.
"""

import os
import socket
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np

from emulator.emulation import Plane, RankSummary, check_ranks, emulate
from emulator.errors import ConfigError, EmulatorError
from emulator.parallel.comm import Comm
from emulator.parallel.wire import pack, unpack
from launch.header import make_header
from launch.prepare import Prepared, prepare_run
from launch.progress import image_progress, working
from traces.digest import Digest
from traces.errors import TraceError
from traces.merge import merge_ranks
from traces.reader import TRACE_NAME
from traces.writer import RankWriter

#: Set by MPI launchers for every process that they start (MPICH and PMI, Open MPI, PMIx, Cray PALS).
_LAUNCHER_VARIABLES = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PALS_RANKID")


#: An aborted job's launcher kills at once and may drop what it has not yet forwarded: leave it time to do so.
LAST_WORDS_S = 0.5

#: Exit code of a program that the user has interrupted.
INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line says about a run."""

    config: Path
    output: Path
    plane: Plane
    seed: int | None
    progress: bool
    debug: bool


def run_on_rank(comm: Comm, options: RunOptions) -> int:
    """Do this rank's part of a run and return its exit code; other ranks end with this one if it fails."""
    began = time.perf_counter()
    try:
        prepared, code = _prepare(comm, options)
        if code == 0:
            _emulate(comm, options, prepared, began)
    except (EmulatorError, TraceError) as error:
        if options.debug:
            traceback.print_exc()
        _complain(comm, str(error))
        comm.abort(error.exit_code)
    except KeyboardInterrupt:
        comm.abort(INTERRUPTED)
    except Exception as error:  # noqa: BLE001 (an unknown failure must end the other ranks, too)
        traceback.print_exc()
        _complain(comm, f"{type(error).__name__}: {error} (a defect of the emulator; please report it)")
        comm.abort(1)
    return code


def _complain(comm: Comm, message: str) -> None:
    where = f" on rank {comm.rank} of {comm.size} ({socket.gethostname()})" if comm.size > 1 else ""
    print(f"aimc: error{where}: {message}", file=sys.stderr, flush=True)
    if comm.size > 1:
        time.sleep(LAST_WORDS_S)


def _prepare(comm: Comm, options: RunOptions) -> tuple[Prepared | None, int]:
    """Prepare on rank 0 and tell all ranks how it went: the exit code, 0 if the run goes on."""
    prepared, code = None, 0
    if comm.rank == 0:
        try:
            prepared = _prepare_folder(comm, options)
        except (EmulatorError, TraceError) as error:
            if options.debug:
                traceback.print_exc()
            print(f"aimc: error: {error}", file=sys.stderr, flush=True)
            code = error.exit_code
    code = int(unpack(comm.broadcast_bytes(pack(code) if comm.rank == 0 else None, 0)))
    return prepared, code


def _prepare_folder(comm: Comm, options: RunOptions) -> Prepared:
    try:
        options.output.mkdir(parents=True)
    except FileExistsError:
        raise ConfigError(f"{options.output}: the output folder exists; choose another with -o, or remove it") from None
    except OSError as error:
        raise ConfigError(f"{options.output}: the output folder cannot be made: {error.strerror}") from None
    try:
        with working("preparing network, mapping and program", shown=options.progress):
            prepared = prepare_run(options.config, options.output, options.seed)
        check_ranks(prepared.workload.program, comm.size)
    except BaseException:
        rmtree(options.output)
        raise
    return prepared


def _emulate(comm: Comm, options: RunOptions, prepared: Prepared | None, began: float) -> None:
    header = make_header(prepared, plane=options.plane, n_ranks=comm.size) if prepared else None
    n_images = len(prepared.images) if prepared else 0
    with (
        RankWriter(_rank_path(options.output, comm.rank), header) as writer,
        image_progress(n_images, shown=options.progress and comm.rank == 0) as on_image,
    ):
        summary = emulate(
            prepared.workload if prepared else None, comm=comm, sink=writer, plane=options.plane, on_image=on_image
        )
    mine = _describe_rank(summary, writer, time.perf_counter() - began)
    gathered = comm.gather_bytes(pack(mine), 0)
    if gathered is not None:
        ranks = [unpack(data) for data in gathered]
        merging = time.perf_counter()
        digest = _merge(options.output, ranks, merging, began)
        _print_end(options, digest, time.perf_counter() - began)
    comm.barrier()  # nobody leaves before the trace is complete: a launcher may end the job with its first rank


def _rank_path(folder: Path, rank: int) -> Path:
    return folder / f"rank{rank:05d}.h5"


def _describe_rank(summary: RankSummary, writer: RankWriter, total_s: float) -> dict[str, Any]:
    ports = summary.ports
    used = np.flatnonzero(ports.n_bursts) if ports else np.empty(0, np.int64)
    empty = np.empty(0, np.int64)
    return {
        "rank": {
            "host": socket.gethostname(),
            "first_cluster": summary.clusters.start,
            "end_cluster": summary.clusters.end,
            "values_s": summary.values_s,
            "timing_s": summary.timing_s,
            "trace_s": writer.seconds,
            "total_s": total_s,
            "waited_s": summary.waited_s,
            "n_messages": summary.traffic.n_messages,
            "n_bytes": summary.traffic.n_bytes,
        },
        "ports": {
            "port": used,
            "busy_ps": ports.busy_ps[used] if ports else empty,
            "n_bytes": ports.n_bytes[used] if ports else empty,
            "n_bursts": ports.n_bursts[used] if ports else empty,
        },
        "n_events": summary.n_events,
        "counts": writer.digest.counts,
        "lanes": writer.digest.lanes,
    }


def _merge(folder: Path, ranks: list[dict[str, Any]], merging: float, began: float) -> str:
    digest = Digest()
    for rank in ranks:
        digest.merge(Digest(rank["counts"], {table: tuple(lanes) for table, lanes in rank["lanes"].items()}))
    rows = [rank["rank"] for rank in ranks]
    rows[0]["trace_s"] += time.perf_counter() - merging
    rows[0]["total_s"] = time.perf_counter() - began
    summaries: dict[str, dict[str, Any]] = {
        "ranks": {name: [row[name] for row in rows] for name in rows[0]},
        "port_totals": {
            name: np.concatenate([rank["ports"][name] for rank in ranks]) for name in ranks[0]["ports"]
        },
    }  # fmt: skip
    return merge_ranks(
        [_rank_path(folder, rank) for rank in range(len(ranks))],
        folder / TRACE_NAME,
        summaries=summaries,
        n_events=sum(rank["n_events"] for rank in ranks),
        digest=digest,
    )


def _print_end(options: RunOptions, digest: str, total_s: float) -> None:
    print(f"finished in {total_s:.1f} s: {options.output / TRACE_NAME}", flush=True)
    print(f"digest {digest}", flush=True)


def connect() -> Comm:
    """Return the ranks that a launcher started, or a single rank without MPI if none did."""
    if any(name in os.environ for name in _LAUNCHER_VARIABLES):
        from emulator.parallel.mpi_comm import MpiComm

        return MpiComm()
    from emulator.parallel.local_comm import SerialComm

    return SerialComm()
