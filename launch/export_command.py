"""``aimc export``: a trace in the formats of other tools."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

from launch.progress import working
from launch.targets import keep_traces, whole
from traces.analysis.records import order_records
from traces.errors import TraceError
from traces.export.chrome_trace import write_chrome
from traces.export.files import write_files
from traces.export.perfetto_trace import write_perfetto
from traces.export.slices import WHOLE, Slices, check_window, parse_window, port_counters
from traces.reader import Trace


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What the command line says about an export; one of the targets is given."""

    trace: Path
    perfetto: Path | None
    chrome: Path | None
    parquet: Path | None
    csv: Path | None
    window: str | None


def export_run(options: ExportOptions) -> None:
    """Write a trace in another format and say where.

    Raises:
        TraceError: the trace cannot be read, the target cannot be written, or a library for it is missing.
    """
    began = time.perf_counter()
    window = WHOLE if options.window is None else parse_window(options.window)
    with Trace(options.trace) as trace, working("writing the trace in another format", shown=sys.stderr.isatty()):
        keep_traces([trace], options.perfetto, options.chrome)
        if options.parquet or options.csv:
            if options.window is not None:
                raise TraceError("--window: only --perfetto and --chrome show a part of the time")
            written = write_files(trace, options.parquet, "parquet") if options.parquet else []
            written += write_files(trace, options.csv, "csv") if options.csv else []
        else:
            if not trace.has_timing:
                raise TraceError(f"{trace.path}: the run had no timing plane, so there are no times to show")
            records = order_records(trace)
            check_window(records, window)
            slices, counters = Slices(trace, records, window), port_counters(trace, records, window)
            written = []
            for path, write in ((options.perfetto, write_perfetto), (options.chrome, write_chrome)):
                if path:
                    with whole(path) as partial:
                        write(slices, counters, partial)
                    written.append(path)
    for path in written:
        print(f"{path} ({_describe_size(path.stat().st_size)})")
    print(f"done in {time.perf_counter() - began:.1f} s")


def _describe_size(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.1f} MB" if n_bytes >= 100_000 else f"{n_bytes / 1e3:.1f} kB"
