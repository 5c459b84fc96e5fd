"""The timing plane over ranks: speed, waiting, messages and memory, and what that means for larger machines.

    python tests/benchmarks/bench_ranks.py --ranks 2 --tokens 1 8
    python tests/benchmarks/bench_ranks.py --ranks 2 4 --layers 4 --weak     # layers grow with the ranks
    python tests/benchmarks/bench_ranks.py --ranks 2 --resnet 16             # ResNet-18 instead of the decoder

Times a decoder of seven billion weights (fewer with ``--layers``) on one rank and on several in the same run. Prints
JSON: events per second, speed-up, efficiency, share of waiting, messages per boundary token, memory per rank, and a
projection to more ranks from the counts measured. Every job is started several times and the fastest counts; what
travels to other machines is the ratios and the counts.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emulator.chip.load import load_chip
from emulator.chip.spec import Chip
from emulator.emulation import time_part
from emulator.network.decoder import LLAMA_7B, decoder_stack
from emulator.parallel.comm import Comm
from emulator.parallel.wire import pack, unpack
from emulator.program.columns import Columns, columns_of
from emulator.program.cuts import partition_events
from emulator.program.lower import lower
from emulator.program.ownership import estimate_events, place_owners
from emulator.program.stack import stack_columns
from emulator.program.transport import program_from_bytes, program_to_bytes
from emulator.timing.state import initial_state
from emulator.timing.sync import compile_timing
from launch.local import find_mpiexec, rank_environment
from launch.rank import connect
from traces.digest import Digest

ROOT = Path(__file__).parents[2]
PROJECTED = (64, 512, 4096)
#: The interconnect that is assumed for the projection: a message of one small batch between two nodes of a current
#: cluster (MPI latency of 2 us, twice over for both software ends) and the bandwidth of one port (10 GB/s).
MESSAGE_S = 4e-6
BYTES_PER_S = 10e9
EVENT_BYTES = 48


class DigestSink:
    """Keeps the digest of the records, the time of the last, and none of them."""

    def __init__(self) -> None:
        self.digest = Digest()
        self.makespan_ps = 0

    def append(self, table: str, columns: dict[str, NDArray[np.int64]]) -> None:
        """Sum up a batch."""
        self.digest.add(table, columns)
        if table == "firings":
            self.makespan_ps = max(self.makespan_ps, int(columns["end_ps"].max()))


def peak_bytes() -> int:
    """Return the most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def workload(job: dict[str, Any]) -> tuple[Columns, Chip]:
    """Build what a job times; every rank does so for itself and keeps its part."""
    chip = load_chip(ROOT / "configs/chips" / job["chip"])
    if "program" in job:
        return columns_of(program_from_bytes(unpack(Path(job["program"]).read_bytes()))), chip
    network = decoder_stack(replace(LLAMA_7B, n_layers=job["layers"]))
    return stack_columns(network, chip, aligned=job["aligned"]), chip


def cut(job: dict[str, Any], columns: Columns, chip: Chip, n_ranks: int) -> NDArray[np.int64]:
    """Return the block boundaries: those of an ordinary run, unless the job says where two ranks part."""
    if job.get("cut") and n_ranks == 2:
        return np.array([0, job["cut"], columns.n_clusters])
    return partition_events(columns, chip, n_ranks)


def on_rank(comm: Comm, job: dict[str, Any]) -> None:
    """Be one rank of a job; rank 0 prints what all measured."""
    compile_timing()
    empty_bytes = peak_bytes()
    comm.barrier()
    began = time.perf_counter()
    columns, chip = workload(job)
    bounds = cut(job, columns, chip, comm.size)
    sink = DigestSink()
    timed = time_part(columns, chip, bounds, job["images"], comm=comm, sink=sink)
    row = {
        "total_s": time.perf_counter() - began,
        "plane_s": timed.wall_s,
        "n_events": timed.n_events,
        "n_boundary_tokens": timed.n_boundary_tokens,
        "makespan_ps": sink.makespan_ps,
        **asdict(timed.sync),
        "empty_bytes": empty_bytes,
        "peak_bytes": peak_bytes(),
    }
    gathered = comm.gather_bytes(pack({"row": row, "counts": sink.digest.counts, "lanes": sink.digest.lanes}), 0)
    if gathered is None:
        return
    digest, rows = Digest(), []
    for each in map(unpack, gathered):
        digest.merge(Digest(each["counts"], {table: tuple(lanes) for table, lanes in each["lanes"].items()}))
        rows.append(each["row"])
    held = [part_bytes(columns, chip, bounds, rank) for rank in range(comm.size)]
    print(json.dumps({"digest": digest.hexdigest("")[:16], "ranks": rows, "held_bytes": held}))


def part_bytes(columns: Columns, chip: Chip, bounds: NDArray[np.int64], rank: int) -> int:
    """Return the bytes of a rank's part of the program and its state, without fixed buffers."""
    tables = lower(columns, chip, place_owners(columns, chip, bounds), rank)
    state = initial_state(tables, 1, 0)
    return sum(array.nbytes for array in (*tables, *state) if isinstance(array, np.ndarray))


def start(job: dict[str, Any], n_ranks: int, n_repeats: int) -> dict[str, Any]:
    """Run a job ``n_repeats`` times on ``n_ranks`` ranks and return the fastest."""
    command = [str(find_mpiexec()), "-n", str(n_ranks), sys.executable, __file__, "--job", json.dumps(job)]
    results = []
    for _ in range(n_repeats):
        done = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, text=True, env=rank_environment(n_ranks, dict(os.environ))
        )
        results.append(json.loads(done.stdout))
    assert len({result["digest"] for result in results}) == 1
    return min(results, key=lambda result: max(rank["plane_s"] for rank in result["ranks"]))


def summarize(result: dict[str, Any], alone: dict[str, Any], *, weak: bool) -> dict[str, Any]:
    """Return the figures of a job beside those of one rank."""
    ranks, n_ranks = result["ranks"], len(result["ranks"])
    wall_s, alone_s = (max(rank["plane_s"] for rank in each["ranks"]) for each in (result, alone))
    loop_s, alone_loop_s = (
        max(rank["computing_s"] + rank["packing_s"] + rank["waiting_s"] for rank in each["ranks"])
        for each in (result, alone)
    )
    makespan_ns = max(rank["makespan_ps"] for rank in ranks) / 1000
    totals = {name: sum(rank[name] for rank in ranks) for name in ("n_events", "n_boundary_tokens", "n_messages")}
    scale = totals["n_events"] / sum(rank["n_events"] for rank in alone["ranks"]) if weak else 1
    return {
        "n_ranks": n_ranks,
        "same_digest_as_one_rank": None if weak else result["digest"] == alone["digest"],
        **totals,
        "n_boundary_events": sum(rank["n_boundary_events"] for rank in ranks),
        "messages_per_boundary_token": round(totals["n_messages"] / max(totals["n_boundary_tokens"], 1), 2),
        "total_s": round(max(rank["total_s"] for rank in ranks), 3),
        "plane_s": round(wall_s, 3),
        "loop_s": round(loop_s, 3),
        "events_per_s": round(totals["n_events"] / loop_s),
        "speed_up": round(scale * alone_s / wall_s, 2),
        "speed_up_of_loop": round(scale * alone_loop_s / loop_s, 2),
        "efficiency_of_loop": round(scale * alone_loop_s / loop_s / n_ranks, 2),
        "busy_share_of_largest": round(max(r["n_events"] for r in ranks) * n_ranks / totals["n_events"], 3),
        "waiting_share": round(sum(rank["waiting_s"] for rank in ranks) / n_ranks / loop_s, 3),
        "rounds_of_busiest": max(rank["n_rounds"] for rank in ranks),
        "emulated_ns_per_round": round(makespan_ns / max(rank["n_rounds"] for rank in ranks), 1),
        "packing_us_per_round": round(1e6 * sum(r["packing_s"] for r in ranks) / sum(r["n_rounds"] for r in ranks), 1),
        "held_mb_per_rank": round(max(result["held_bytes"]) / 1e6, 1),
        "peak_mb_per_rank": round(max(rank["peak_bytes"] for rank in ranks) / 1e6, 1),
        "peak_mb_before_the_program": round(max(rank["empty_bytes"] for rank in ranks) / 1e6, 1),
        "peak_mb_in_all": round(sum(rank["peak_bytes"] for rank in ranks) / 1e6, 1),
    }


def project(job: dict[str, Any], alone: dict[str, Any], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Project to more ranks than there are cores here.

    Counted: the events of the busiest rank and the tokens that cross its borders. Measured: the time of an event on one
    rank, of promises and packing per round on the fewest ranks, and the rounds on the number of ranks whose borders are
    most alike: inside layers they are many times those between layers. Assumed: a round waits for one message.
    """
    columns, chip = workload(job)
    events = estimate_events(columns, chip)
    n_events = sum(rank["n_events"] for rank in alone["ranks"])
    event_s = alone["ranks"][0]["computing_s"] / n_events
    round_s = rows[1]["packing_us_per_round"] / 1e6 + MESSAGE_S
    events_per_token = rows[-1]["n_boundary_events"] / max(rows[-1]["n_boundary_tokens"], 1)
    measured = [(busiest(columns, chip, events, row["n_ranks"])[1], row["rounds_of_busiest"]) for row in rows[1:]]
    projected = []
    for n_ranks in (n for n in PROJECTED if n <= np.count_nonzero(events)):
        load, tokens = busiest(columns, chip, events, n_ranks)
        n_rounds = min(measured, key=lambda each: abs(np.log(each[0] / tokens)))[1]
        computing_s, rounds_s = load * job["images"] * event_s, n_rounds * round_s
        traffic_s = tokens * job["images"] * events_per_token * EVENT_BYTES / BYTES_PER_S
        projected.append(
            {
                "n_ranks": n_ranks,
                "events_of_busiest": load * job["images"],
                "boundary_tokens_of_busiest": tokens * job["images"],
                "rounds": n_rounds,
                "computing_s": round(computing_s, 4),
                "rounds_s": round(rounds_s, 4),
                "traffic_s": round(traffic_s, 6),
                "speed_up": round(n_events * event_s / (computing_s + rounds_s + traffic_s), 1),
            }
        )
    return projected


def busiest(columns: Columns, chip: Chip, events: NDArray[np.int64], n_ranks: int) -> tuple[int, int]:
    """Return the most events of a rank per image, and the most tokens that enter or leave one."""
    bounds = partition_events(columns, chip, n_ranks)
    rank = np.searchsorted(bounds, np.arange(columns.n_clusters), side="right") - 1
    site_rank = np.append(rank, (0, n_ranks - 1))
    ends = [site_rank[columns.actors["site"][columns.channels[end]]] for end in ("producer", "consumer")]
    crossing = ends[0] != ends[1]
    tokens = sum(np.bincount(end[crossing], minlength=n_ranks) for end in ends)
    return int(np.bincount(rank, weights=events, minlength=n_ranks).max()), int(np.max(tokens))


def save_resnet(folder: Path, policy: str) -> str:
    """Map ResNet-18 and build its program once for all ranks."""
    from launch.prepare import map_only

    saved = folder / "program"
    _, program = map_only(ROOT / "configs/runs" / f"resnet18-{policy}.yaml", lambda *_: None)
    saved.write_bytes(pack(program_to_bytes(program)))
    return str(saved)


def main() -> None:
    """Measure, or be a rank that is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, nargs="+", default=[2], help="numbers of ranks beside one")
    parser.add_argument("--tokens", type=int, nargs="+", default=[1, 8], help="tokens per job")
    parser.add_argument("--layers", type=int, default=LLAMA_7B.n_layers, help="layers of the decoder")
    parser.add_argument("--aligned", action="store_true", help="let every layer of the decoder begin with a quadrant")
    parser.add_argument("--cut", type=int, metavar="CLUSTER", help="where two ranks part, instead of the best place")
    parser.add_argument("--weak", action="store_true", help="give every rank so many layers")
    parser.add_argument("--resnet", type=int, metavar="IMAGES", help="time ResNet-18 instead")
    parser.add_argument("--policy", default="naive", choices=("naive", "replicated", "paper"), help="of ResNet-18")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each job; the fastest counts")
    parser.add_argument("--job", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        on_rank(connect(), options.job)
        return
    results = []
    with TemporaryDirectory() as folder:
        if options.resnet:
            chip = {"chip": "bruschi2023.yaml", "cut": options.cut}
            jobs = [{**chip, "program": save_resnet(Path(folder), options.policy), "images": options.resnet}]
        else:
            chip = {"chip": "quadrants131072.yaml", "cut": options.cut}
            stack = {**chip, "layers": options.layers, "aligned": options.aligned}
            jobs = [{**stack, "images": n} for n in options.tokens]
        for job in jobs:
            alone = start(job, 1, options.repeats)
            rows = [summarize(alone, alone, weak=False)]
            for n in options.ranks:
                grown = {**job, "layers": job["layers"] * n} if options.weak else job
                rows.append(summarize(start(grown, n, options.repeats), alone, weak=options.weak))
            entry = {
                "job": {**job, "program": f"resnet18 {options.policy}"} if options.resnet else job,
                "measured": rows,
            }
            if not options.weak:
                entry["projected"] = project(job, alone, rows)
            results.append(entry)
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
