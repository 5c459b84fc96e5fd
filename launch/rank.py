"""What every rank runs: prepare on rank 0, emulate everywhere, merge the trace on rank 0.

A mistake of the user is found on rank 0 before work begins; all ranks then end with its exit code and it is printed
once. A failure later on, on any rank, is printed once with the rank's number and ends the whole job.
"""

import resource
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any, TypeVar

import numpy as np

from emulator.emulation import Plane, RankSummary, check_ranks, emulate
from emulator.errors import ConfigError, EmulatorError
from emulator.parallel.comm import Comm
from emulator.parallel.wire import pack, unpack
from emulator.timing.compiled import require_compiler
from launch.header import make_header
from launch.prepare import Prepared, prepare_run
from launch.progress import image_progress, preparing
from launch.watch import announce, launched_rank
from traces.digest import Digest
from traces.errors import TraceError
from traces.merge import merge_ranks
from traces.reader import TRACE_NAME
from traces.writer import RankWriter

T = TypeVar("T")

#: An aborted job's launcher kills at once and may drop what it has not yet forwarded: leave it time to do so.
LAST_WORDS_S = 0.5

#: Exit codes of a program that the user has interrupted, and of one whose output nobody reads any more.
INTERRUPTED, OUTPUT_CLOSED = 130, 141


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line says about a run."""

    config: Path
    output: Path
    plane: Plane
    split_timing: bool
    seed: int | None
    progress: bool
    debug: bool


def run_on_rank(comm: Comm, options: RunOptions) -> int:
    """Do this rank's part of a run and return its exit code; other ranks end with this one if it fails."""
    began = time.perf_counter()
    with ending_all_ranks(comm, debug=options.debug):
        prepared, code = on_first_rank(comm, lambda: _prepare_folder(comm, options), debug=options.debug)
        if code == 0:
            _emulate(comm, options, prepared, began)
    return code


@contextmanager
def ending_all_ranks(comm: Comm, *, debug: bool) -> Iterator[None]:
    """Say once what has failed within, on whichever rank, and end the whole job with its exit code."""
    try:
        yield
    except (EmulatorError, TraceError) as error:
        if debug:
            traceback.print_exc()
        _complain(comm, str(error))
        comm.abort(error.exit_code)
    except KeyboardInterrupt:
        if comm.size == 1:  # whoever has started several says it for all
            print("aimc: interrupted", file=sys.stderr, flush=True)
        comm.abort(INTERRUPTED)
    except BrokenPipeError:  # the reader of our output has seen enough; a single rank leaves it to the command line
        if comm.size == 1:
            raise
        comm.abort(OUTPUT_CLOSED)
    except Exception as error:  # noqa: BLE001 (an unknown failure must end the other ranks, too)
        traceback.print_exc()
        _complain(comm, f"{type(error).__name__}: {error} (a defect of the emulator; please report it)")
        comm.abort(1)


def _complain(comm: Comm, message: str) -> None:
    where = f" on rank {comm.rank} of {comm.size} ({socket.gethostname()})" if comm.size > 1 else ""
    print(f"aimc: error{where}: {message}", file=sys.stderr, flush=True)
    if comm.size > 1:
        time.sleep(LAST_WORDS_S)


def on_first_rank(comm: Comm, prepare: Callable[[], T], *, debug: bool) -> tuple[T | None, int]:
    """Prepare on rank 0 and tell all ranks how it went.

    Returns:
        What ``prepare`` returned (None on other ranks), and the exit code on every rank: 0 if the work goes on. A
        mistake of the user has been printed already.
    """
    prepared, code = None, 0
    if comm.rank > 0:  # an interrupt is for the first rank, which may have something to show for its search
        previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
        code = int(unpack(comm.broadcast_bytes(None, 0)))
        signal.signal(signal.SIGINT, previous)
        return None, code
    try:
        require_compiler()
        prepared = prepare()
    except (EmulatorError, TraceError) as error:
        if debug:
            traceback.print_exc()
        print(f"aimc: error: {error}", file=sys.stderr, flush=True)
        code = error.exit_code
    comm.broadcast_bytes(pack(code), 0)
    return prepared, code


def _prepare_folder(comm: Comm, options: RunOptions) -> Prepared:
    try:
        options.output.mkdir(parents=True)
    except FileExistsError:
        raise ConfigError(f"{options.output}: the output folder exists; choose another with -o, or remove it") from None
    except OSError as error:
        raise ConfigError(f"{options.output}: the output folder cannot be made: {error.strerror}") from None
    try:
        with preparing("preparing network, mapping and program", shown=options.progress) as on_candidate:
            prepared = prepare_run(options.config, options.output, options.seed, on_candidate, options.plane)
        check_ranks(prepared.workload, options.plane, comm.size)
    except BaseException:
        rmtree(options.output)
        raise
    return prepared


def _emulate(comm: Comm, options: RunOptions, prepared: Prepared | None, began: float) -> None:
    n_images = len(prepared.images) if prepared else 0
    shown = options.progress and comm.rank == 0
    with image_progress(n_images, shown=shown) as on_image:
        digest = record_run(
            prepared,
            options.output,
            comm=comm,
            plane=options.plane,
            split_timing=options.split_timing,
            on_image=on_image,
            began=began,
        )
    if digest is not None:
        _print_end(options, digest, time.perf_counter() - began)
    comm.barrier()  # nobody leaves before the trace is complete: a launcher may end the job with its first rank


def record_run(
    prepared: Prepared | None,
    folder: Path,
    *,
    comm: Comm,
    plane: Plane,
    split_timing: bool = False,
    on_image: Callable[[int], None],
    began: float,
) -> str | None:
    """Emulate over all ranks of ``comm`` and write the trace to ``folder``; only rank 0 passes what it has prepared.

    Args:
        prepared: the run, on rank 0; None elsewhere.
        folder: an existing folder without a trace.
        comm: the ranks.
        plane: which planes to run.
        split_timing: whether the ranks share the timing plane.
        on_image: hears of every image whose values this rank has finished.
        began: when the run began, by ``time.perf_counter``.

    Returns:
        The trace's digest on rank 0, None elsewhere.

    Raises:
        EmulatorError: the emulation failed.
        TraceError: the trace cannot be written.
    """
    header = make_header(prepared, plane=plane, n_ranks=comm.size) if prepared else None
    with RankWriter(rank_path(folder, comm.rank), header) as writer:
        workload = prepared.workload if prepared else None
        summary = emulate(workload, comm=comm, sink=writer, plane=plane, split_timing=split_timing, on_image=on_image)
    mine = _describe_rank(summary, writer, time.perf_counter() - began)
    gathered = comm.gather_bytes(pack(mine), 0)
    if gathered is None:
        return None
    merging = time.perf_counter()
    return _merge(folder, [unpack(data) for data in gathered], merging, began)


def rank_path(folder: Path, rank: int) -> Path:
    """Return where a rank writes its part of a trace until all parts are put together."""
    return folder / f"rank{rank:05d}.h5"


def _describe_rank(summary: RankSummary, writer: RankWriter, total_s: float) -> dict[str, Any]:
    ports = summary.ports
    used = np.flatnonzero(ports.n_bursts) if ports else np.empty(0, np.int64)
    sync = summary.sync
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
            "n_events": summary.n_events,
            "n_boundary_tokens": summary.n_boundary_tokens,
            "n_boundary_events": sync.n_boundary_events,
            "n_timing_messages": sync.n_messages,
            "n_promises": sync.n_promises,
            "computing_s": sync.computing_s,
            "packing_s": sync.packing_s,
            "waiting_s": sync.waiting_s,
            "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        },
        "ports": {
            "port": ports.port[used] if ports else empty,
            "busy_ps": ports.busy_ps[used] if ports else empty,
            "n_bytes": ports.n_bytes[used] if ports else empty,
            "n_bursts": ports.n_bursts[used] if ports else empty,
        },
        "conversions": {
            "actor": np.array(list(summary.conversions), np.int64),
            "n_conversions": np.array([c.n_conversions for c in summary.conversions.values()], np.int64),
            "n_clipped": np.array([c.n_clipped for c in summary.conversions.values()], np.int64),
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
        "port_totals": _joined(ranks, "ports"),
        "conversions": _joined(ranks, "conversions"),
    }
    return merge_ranks(
        [rank_path(folder, rank) for rank in range(len(ranks))],
        folder / TRACE_NAME,
        summaries=summaries,
        n_events=sum(rank["n_events"] for rank in ranks),
        digest=digest,
    )


def _joined(ranks: list[dict[str, Any]], table: str) -> dict[str, Any]:
    return {name: np.concatenate([rank[table][name] for rank in ranks]) for name in ranks[0][table]}


def _print_end(options: RunOptions, digest: str, total_s: float) -> None:
    print(f"finished in {total_s:.1f} s: {options.output / TRACE_NAME}", flush=True)
    print(f"digest {digest}", flush=True)


def connect() -> Comm:
    """Return the ranks that a launcher started, or a single rank without MPI if none did."""
    if launched_rank() is not None:
        announce()
        from emulator.parallel.mpi_comm import MpiComm  # starts MPI

        return MpiComm()
    from emulator.parallel.local_comm import SerialComm

    return SerialComm()
