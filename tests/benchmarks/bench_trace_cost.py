"""What a trace costs: its share of a run's wall time, and bytes per record on disk.

    python tests/benchmarks/bench_trace_cost.py [--plane timing] [--repeats 5] [configs/runs/resnet18-paper.yaml]

Prints JSON: the median over some runs on one rank, each in a process of its own.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from traces.reader import Trace
from traces.schema import STREAMED_TABLES

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Run, look at the trace, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", type=Path, default=ROOT / "configs/runs/resnet18-paper.yaml")
    parser.add_argument("--plane", default="timing", choices=("both", "values", "timing"))
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    shares, figures = [], {}
    for _ in range(options.repeats):
        with TemporaryDirectory() as parent:
            folder = Path(parent) / "out"
            command = [sys.executable, "-m", "launch.cli", "run", str(options.config), "--plane", options.plane]
            subprocess.run([*command, "-o", str(folder)], check=True, capture_output=True, cwd=ROOT)
            with Trace(folder) as trace:
                ranks = trace["ranks"]
                shares.append(float(ranks["trace_s"][0] / ranks["total_s"][0]))
                n_records = sum(len(trace[table]) for table in STREAMED_TABLES)
                figures = {"n_records": n_records, "bytes_per_record": trace.path.stat().st_size / n_records}
    print(json.dumps({"share_of_wall": statistics.median(shares), **figures}, indent=2))


if __name__ == "__main__":
    main()
