"""A trace in Chrome's JSON format, gzipped: for chrome://tracing, and anything else that reads it."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from traces.errors import TraceError
from traces.export.slices import UNIT_NAMES, Counter, Slices
from traces.schema import Resource

_PS_PER_US = 1e6


def write_chrome(slices: Slices, counters: list[Counter], path: Path) -> None:
    """Write a gzipped JSON trace; sites are processes, units are threads, times are microseconds.

    Raises:
        TraceError: the file cannot be written.
    """
    try:
        with gzip.open(path, "wt", encoding="utf-8", compresslevel=5) as file:
            file.write('{"displayTimeUnit": "ns", "traceEvents": [\n')
            for i, event in enumerate(_events(slices, counters)):
                file.write((",\n" if i else "") + json.dumps(event, separators=(",", ":")))
            file.write("\n]}\n")
    except OSError as error:
        raise TraceError(f"{path}: the trace cannot be written: {error.strerror}; choose another place") from None


def _events(slices: Slices, counters: list[Counter]) -> Iterator[dict[str, Any]]:
    for site in dict.fromkeys(site for site, _ in slices.units):
        yield {"ph": "M", "name": "process_name", "pid": site, "args": {"name": slices.site_name(site)}}
    for site, resource in slices.units:
        place = {"pid": site, "tid": resource}
        yield {"ph": "M", "name": "thread_name", **place, "args": {"name": UNIT_NAMES[Resource(resource)]}}
        for each in slices.of_unit((site, resource)):
            time_us, length_us = each.begin_ps / _PS_PER_US, (each.end_ps - each.begin_ps) / _PS_PER_US
            yield {"ph": "X", "name": slices.names[each.actor], **place, "ts": time_us, "dur": length_us}
            for flow in each.flows_in:
                yield {"ph": "f", "bp": "e", "cat": "transfer", "name": "token", "id": flow, **place, "ts": time_us}
            for flow in each.flows_out:
                yield {
                    "ph": "s",
                    "cat": "transfer",
                    "name": "token",
                    "id": flow,
                    **place,
                    "ts": each.end_ps / _PS_PER_US,
                }
    ports = slices.hbm_site + 1
    yield {"ph": "M", "name": "process_name", "pid": ports, "args": {"name": "busiest ports (% of their width)"}}
    for counter in counters:
        for time_ps, percent in zip(counter.time_ps.tolist(), counter.percent.tolist(), strict=True):
            yield {"ph": "C", "name": counter.name, "pid": ports, "ts": time_ps / _PS_PER_US, "args": {"%": percent}}
