"""How fast the timing engine is on the main job: first compilation, warm runs, and the plain engine beside it.

    python tests/benchmarks/bench_timing.py

Prints JSON. Times are medians of this machine; the ratio to the reference engine in the same run is what travels.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from emulator.parallel.wire import pack, unpack
from emulator.program.lower import lower_program
from emulator.program.transport import program_from_bytes, program_to_bytes
from emulator.timing.engine import TimingEngine
from emulator.timing.reference_engine import ReferenceEngine
from launch.prepare import map_only

ROOT = Path(__file__).parents[2]
N_IMAGES = 16
N_REPEATS = 5


class Discard:
    """A sink for records that nobody wants."""

    def append(self, table: str, columns: object) -> None:
        """Take nothing."""


def seconds(action: Callable[[], object]) -> float:
    """Return the wall time of ``action``."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def first_run_s(saved: Path) -> float:
    """Time the first run of a fresh process whose compilation cache is empty."""
    with TemporaryDirectory() as cache:
        command = [sys.executable, __file__, str(saved)]
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, env={**os.environ, "NUMBA_CACHE_DIR": cache}
        )
    return float(done.stdout)


def main() -> None:
    """Measure, or be the fresh process that is measured."""
    from emulator.chip.load import load_chip

    chip = load_chip(ROOT / "configs/chips/bruschi2023.yaml")
    if len(sys.argv) > 1:
        program = program_from_bytes(unpack(Path(sys.argv[1]).read_bytes()))
        tables = lower_program(program, chip)
        print(seconds(lambda: TimingEngine(tables, N_IMAGES, Discard()).run()))
        return
    _, program = map_only(ROOT / "configs/runs/resnet18-naive.yaml", lambda *_: None)
    tables = lower_program(program, chip)
    TimingEngine(tables, 1, Discard()).run()
    engines = [TimingEngine(tables, N_IMAGES, Discard()) for _ in range(N_REPEATS)]
    compiled_s = statistics.median(seconds(engine.run) for engine in engines)
    reference = ReferenceEngine(program, chip, 1)
    reference_s = seconds(reference.run)
    with TemporaryDirectory() as folder:
        saved = Path(folder) / "program"
        saved.write_bytes(pack(program_to_bytes(program)))
        first_s = first_run_s(saved)
    n_events = engines[0].n_events
    result = {
        "n_images": N_IMAGES,
        "n_events": n_events,
        "first_run_with_compilation_s": round(first_s, 3),
        "compiled_s": round(compiled_s, 4),
        "compiled_events_per_s": round(n_events / compiled_s),
        "reference_events_per_s": round(reference.n_events / reference_s),
        "compiled_over_reference": round(n_events / compiled_s * reference_s / reference.n_events, 1),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
