"""How long a report on a large trace takes, and how much memory: a synthetic pipeline written with the real writer.

    python tests/benchmarks/bench_report.py --records 50000000 --folder /tmp/large

Prints JSON: seconds and bytes per record of writing, and seconds and peak memory of the report in a process of its own,
beside the time of one pass over all columns in the same run. A trace that is there already is used again.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from traces.merge import merge_ranks
from traces.reader import Trace
from traces.schema import SUMMARY_TABLES, ActorKind, Cause, Header, Resource
from traces.writer import RankWriter

N_CLUSTERS = 512
N_PHASES = 64  # firings per actor and image
PERIOD_PS = 130_000
ROOT = Path(__file__).parents[2]

_REPORT = """
import json, resource, sys, time
began = time.perf_counter()
from launch.cli import main
code = main(["report", sys.argv[1], "--json", "--timeline", sys.argv[2]])
used = resource.getrusage(resource.RUSAGE_SELF)
cpu_s = used.ru_utime + used.ru_stime
print(json.dumps({"s": time.perf_counter() - began, "cpu_s": cpu_s, "peak_mb": used.ru_maxrss / 1e3}), file=sys.stderr)
raise SystemExit(code)
"""


def main() -> None:
    """Write the trace if it is not there, report on it, print what that took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=2_000_000)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    n_images = -(-options.records // (2 * N_CLUSTERS * N_PHASES))
    written = {} if (options.folder / "trace.h5").exists() else write(options.folder, n_images)
    with Trace(options.folder) as trace:
        n_records = len(trace["firings"]) + len(trace["transfers"])
        began = time.perf_counter()
        for table in ("firings", "transfers"):
            for _ in trace[table].chunks("start_ps", "end_ps", "cause" if table == "firings" else "ready_ps"):
                pass
        pass_s = time.perf_counter() - began
    command = [sys.executable, "-c", _REPORT, str(options.folder), str(options.folder / "timeline.png")]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    report = json.loads(done.stderr.splitlines()[-1])
    size = (options.folder / "trace.h5").stat().st_size
    figures = {
        "n_records": n_records,
        "bytes_per_record": size / n_records,
        "one_pass_s": pass_s,
        "report_s": report["s"],
        "report_cpu_s": report["cpu_s"],
        "report_over_one_pass": report["s"] / pass_s,
        "report_peak_mb": report["peak_mb"],
        **written,
    }
    print(json.dumps(figures, indent=2))


def write(folder: Path, n_images: int) -> dict[str, float]:
    """Write a pipeline of one actor per cluster through which ``n_images`` pass."""
    folder.mkdir(parents=True)
    path = folder / "rank00000.h5"
    began = time.perf_counter()
    with RankWriter(path, header(n_images)) as writer:
        for image in range(n_images):
            firings, transfers = records_of(image)
            writer.append("firings", firings)
            writer.append("transfers", transfers)
    ranks = {column.name: [0] for column in SUMMARY_TABLES["ranks"]} | {"host": ["here"], "end_cluster": [N_CLUSTERS]}
    conversions: dict[str, list[int]] = {column.name: [] for column in SUMMARY_TABLES["conversions"]}
    ports = np.arange(2 * N_CLUSTERS)
    busy = np.full(len(ports), n_images * N_PHASES * 4_000)
    totals = {"port": ports, "busy_ps": busy, "n_bytes": busy // 1000 * 64, "n_bursts": busy // 4_000}
    merge_ranks(
        [path],
        folder / "trace.h5",
        summaries={"ranks": ranks, "port_totals": totals, "conversions": conversions},
        n_events=0,
        digest=writer.digest,
    )
    return {"write_s": time.perf_counter() - began}


def records_of(image: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the firings and transfers of an image: every actor takes a token from the one before it."""
    rng = np.random.default_rng(image)
    phase, actor = np.divmod(np.arange(N_PHASES * N_CLUSTERS), N_CLUSTERS)
    first_ps = (image * N_PHASES + phase) * PERIOD_PS
    start = first_ps + actor * (PERIOD_PS + 20_000) + rng.integers(0, 8, len(actor)) * 1000
    end = start + 100_000 + rng.integers(0, 10, len(actor)) * 1000
    firings = {
        "actor": actor + 1,
        "image": np.full_like(actor, image),
        "phase": phase,
        "start_ps": start,
        "end_ps": end,
        "cause": np.full_like(actor, Cause.INPUT),
        "cause_channel": actor,
    }
    last = actor == N_CLUSTERS - 1
    ends = {"actor": np.full(N_PHASES, N_CLUSTERS + 1), "start_ps": end[last], "end_ps": end[last]}
    ends |= {name: firings[name][last] for name in ("image", "phase", "cause")}
    ends["cause_channel"] = np.full(N_PHASES, N_CLUSTERS)
    begins = {"actor": np.zeros(N_PHASES, int), "start_ps": first_ps[last] - 50_000, "end_ps": first_ps[last] - 50_000}
    begins |= {name: ends[name] for name in ("image", "phase")}
    begins |= {"cause": np.full(N_PHASES, Cause.ACTOR), "cause_channel": np.full(N_PHASES, -1)}
    begins["start_ps"] = begins["end_ps"] = np.maximum(begins["end_ps"], 0)
    every = {name: np.concatenate([begins[name], firings[name], ends[name]]) for name in firings}
    transfers = {
        "channel": actor,
        "image": firings["image"],
        "token": phase,
        "ready_ps": start - 40_000,
        "start_ps": start - 10_000,
        "end_ps": start,
    }
    transfers["ready_ps"][transfers["ready_ps"] < 0] = 0
    transfers["start_ps"][transfers["start_ps"] < 0] = 0
    return every, transfers


def header(n_images: int) -> Header:
    """Describe a pipeline of an input, an MVM actor per cluster and an output."""
    n_actors, hbm = N_CLUSTERS + 2, N_CLUSTERS
    middle = [ActorKind.MVM] * N_CLUSTERS
    layer_of = [-1, *(i // 16 for i in range(N_CLUSTERS)), -1]
    n_layers = N_CLUSTERS // 16
    actors: dict[str, list[str] | list[int]] = {
        "name": [f"actor {i}" for i in range(n_actors)],
        "kind": [int(kind) for kind in (ActorKind.INPUT, *middle, ActorKind.OUTPUT)],
        "layer": layer_of,
        "site": [hbm, *range(N_CLUSTERS), hbm],
        "resource": [int(Resource.NONE), *[int(Resource.IMA)] * N_CLUSTERS, int(Resource.NONE)],
        "row_block": [0] * n_actors,
        "column_block": [0] * n_actors,
        "stage": [0] * n_actors,
        "n_rows": [256] * n_actors,
        "n_columns": [256] * n_actors,
        "n_firings": [N_PHASES] * n_actors,
        "n_jobs": [N_PHASES] * n_actors,
        "core_cycles": [0] * n_actors,
    }
    n_channels = N_CLUSTERS + 1
    ports = [f"port {i}" for i in range(2 * N_CLUSTERS)]
    attributes: dict[str, str | int | float] = {
        "program_hash": "00", "model_hash": "00", "devices_hash": "", "name": "pipeline on bruschi2023",
        "plane": "timing",
        "engine": "synthetic", "seed": 0, "n_images": n_images, "n_clusters": N_CLUSTERS, "n_ranks": 1,
        "cycle_ps": 1000, "output_scale": 1.0, "output_zero_point": 0, "run_file": "", "policy_file": "",
        "mapping_file": "", "chip_file": (ROOT / "configs/chips/bruschi2023.yaml").read_text(encoding="utf-8"),
        "versions": "", "created": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip
    layers = {name: [16] * n_layers for name in ("n_crossbars", "output_height", "output_width", "output_channels")}
    return Header(
        tables={
            "layers": {
                "name": [f"layer {i}" for i in range(n_layers)],
                "op": ["conv"] * n_layers,
                "macs": [16 * N_PHASES * 65536] * n_layers,
                **layers,
            },
            "actors": actors,
            "channels": {
                "producer": list(range(n_channels)),
                "consumer": list(range(1, n_channels + 1)),
                "n_tokens": [N_PHASES] * n_channels,
                "n_bytes": [N_PHASES * 256] * n_channels,
                "capacity": [2] * n_channels,
            },
            "ports": {
                "name": ports,
                "level": ["L1 quadrant"] * len(ports),
                "width": [64] * len(ports),
                "latency_ps": [4000] * len(ports),
            },
            "routes": {"channel": list(range(N_CLUSTERS)), "port": list(range(N_CLUSTERS))},
        },
        attributes=attributes,
    )


if __name__ == "__main__":
    main()
