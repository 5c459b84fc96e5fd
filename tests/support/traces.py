"""A small trace made by hand, with times that can be checked on paper."""

from pathlib import Path
from typing import Any

import numpy as np

from traces.digest import Digest
from traces.merge import merge_ranks
from traces.schema import STREAMED_TABLES, SUMMARY_TABLES, Header
from traces.writer import RankWriter

US = 1_000_000  # ps

#: Two clusters, two images: the IMA of cluster 0 takes 10 us per image, the cores of cluster 0 and 1 take 4 and 2 us.
FIRINGS = [
    # actor, image, phase, start, end, cause, channel
    (0, 0, 0, 0, 0, 0, -1),
    (0, 1, 0, 0, 0, 1, -1),
    (1, 0, 0, 0, 10 * US, 2, 0),
    (1, 1, 0, 10 * US, 20 * US, 1, -1),
    (2, 0, 0, 10 * US, 14 * US, 2, 1),
    (2, 1, 0, 20 * US, 24 * US, 2, 1),
    (3, 0, 0, 15 * US, 17 * US, 2, 2),
    (3, 1, 0, 25 * US, 27 * US, 2, 2),
    (4, 0, 0, 17 * US, 18 * US, 2, 3),
    (4, 1, 0, 27 * US, 28 * US, 2, 3),
]
TRANSFERS = [(2, 0, 0, 14 * US, 14 * US, 15 * US), (2, 1, 0, 24 * US, 24 * US, 25 * US)]
OUTPUTS = [(0, 0, 5), (0, 1, 9), (1, 0, 7), (1, 1, 3)]
CHECKSUMS = [(2, 0, 11), (2, 1, 22)]


def header(plane: str = "both") -> Header:
    """Return the header of the small trace."""
    columns: dict[str, list[Any]] = {
        "name": ["image", "conv[0,0]", "conv[+0,0]", "add", "scores"],
        "kind": [0, 1, 2, 5, 7],
        "layer": [-1, 0, 0, 1, -1],
        "site": [4, 0, 0, 1, 4],
        "resource": [0, 1, 2, 2, 0],
        "row_block": [0] * 5,
        "column_block": [0] * 5,
        "stage": [0, 0, 1, 0, 0],
        "n_rows": [0, 9, 0, 0, 0],
        "n_columns": [3, 8, 8, 8, 8],
        "n_firings": [1] * 5,
        "n_jobs": [0, 76, 0, 0, 0],
        "core_cycles": [0, 0, 4000, 2000, 0],
    }
    attributes: dict[str, str | int | float] = {
        "program_hash": "ab" * 32,
        "model_hash": "cd" * 32,
        "devices_hash": "",
        "name": "small on paper",
        "plane": plane,
        "engine": "compiled",
        "seed": 3,
        "n_images": 2,
        "n_clusters": 4,
        "n_ranks": 1,
        "cycle_ps": 1000,
        "output_scale": 0.5,
        "output_zero_point": 1,
        "run_file": "",
        "chip_file": "",
        "policy_file": "",
        "mapping_file": "",
        "versions": "python 3",
        "created": "2026-01-01T00:00:00+00:00",
    }
    return Header(
        tables={
            "layers": {
                "name": ["conv", "add"],
                "op": ["conv", "add"],
                "macs": [5_000_000, 0],
                "n_crossbars": [1, 0],
                "output_height": [4, 4],
                "output_width": [4, 4],
                "output_channels": [8, 8],
            },
            "actors": columns,
            "channels": {
                "producer": [0, 1, 2, 3],
                "consumer": [1, 2, 3, 4],
                "n_tokens": [1] * 4,
                "n_bytes": [100, 200, 300, 400],
                "capacity": [2] * 4,
            },
            "ports": {"name": ["up", "down"], "level": ["L1", "L1"], "width": [64, 64], "latency_ps": [4000, 4000]},
            "routes": {"channel": [2, 2], "port": [0, 1]},
        },
        attributes=attributes,
    )


def columns_of(table: str, rows: list[tuple[int, ...]]) -> dict[str, np.ndarray[Any, Any]]:
    """Turn rows into the columns of a streamed table."""
    names = [column.name for column in STREAMED_TABLES[table]]
    values = np.array(rows, np.int64).reshape(-1, len(names)).T
    return dict(zip(names, values.copy(), strict=True))


ROWS: dict[str, list[tuple[int, ...]]] = {
    "firings": list(FIRINGS),
    "transfers": list(TRANSFERS),
    "outputs": list(OUTPUTS),
    "checksums": list(CHECKSUMS),
}


def write_trace(folder: Path, parts: list[dict[str, list[tuple[int, ...]]]] | None = None, plane: str = "both") -> Path:
    """Write a trace whose records are split over ranks as ``parts`` says, all on one rank by default."""
    parts = parts if parts is not None else [ROWS]
    digest, paths = Digest(), []
    for rank, tables in enumerate(parts):
        paths.append(folder / f"rank{rank:05d}.h5")
        with RankWriter(paths[-1], header(plane) if rank == 0 else None) as writer:
            for table, rows in tables.items():
                if rows:
                    writer.append(table, columns_of(table, rows))
        digest.merge(writer.digest)
    n = len(parts)
    rank_rows = {"host": ["here"] * n, "first_cluster": [0] * n, "end_cluster": [4] * n}
    numbers = [column.name for column in SUMMARY_TABLES["ranks"] if column.name not in rank_rows]
    summaries = {
        "ranks": {**rank_rows, **{name: [1] * n for name in numbers}},
        "conversions": {"actor": [1], "n_conversions": [1216], "n_clipped": [3]},
        "port_totals": {"port": [0], "busy_ps": [10_000], "n_bytes": [600], "n_bursts": [2]},
    }
    merge_ranks(paths, folder / "trace.h5", summaries=summaries, n_events=123, digest=digest)
    return folder / "trace.h5"
