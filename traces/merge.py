"""Put the files of all ranks together into one self-contained trace.

Compressed chunks are copied as they are; a virtual dataset per column shows the parts as a whole. Virtual datasets here
refer only to their own file, for one whose source file is missing reads as zeros without a word.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py

from traces.digest import Digest
from traces.errors import TraceError
from traces.schema import STATIC_TABLES, STREAMED_TABLES, SUMMARY_TABLES
from traces.writer import LIBVER, write_table


def merge_ranks(
    rank_paths: Sequence[Path], target: Path, *, summaries: dict[str, dict[str, Any]], n_events: int, digest: Digest
) -> str:
    """Make ``target`` from the files of all ranks, verify it, mark it complete and remove the rank files.

    Args:
        rank_paths: closed files, by rank; the first holds the header.
        target: the trace to make; appears only when it is complete.
        summaries: columns of the summary tables.
        n_events: timing events handled on all ranks.
        digest: what the ranks summed up while writing.

    Returns:
        The digest, hexadecimal.

    Raises:
        TraceError: what is in the file is not what the ranks wrote.
    """
    partial = target.with_name(target.name + ".part")
    with h5py.File(partial, "w", libver=LIBVER) as merged:
        for rank, path in enumerate(rank_paths):
            with h5py.File(path, "r") as source:
                if rank == 0:
                    merged.attrs.update(source.attrs)
                    for table in STATIC_TABLES:
                        source.copy(table, merged)
                part = merged.create_group(f"parts/{rank}")
                for table in STREAMED_TABLES:
                    source.copy(table, part)
        for table in STREAMED_TABLES:
            _add_view(merged, table, len(rank_paths))
        for table in SUMMARY_TABLES:
            write_table(merged, summaries[table], table, SUMMARY_TABLES)
        merged.attrs["n_events"] = n_events
        result = digest.hexdigest(str(merged.attrs["program_hash"]))
        found = digest_of(merged).hexdigest(str(merged.attrs["program_hash"]))
        if found != result:
            raise TraceError(f"{partial}: what was read back has digest {found}, what was written {result}")
        merged.attrs["digest"] = result
        merged.attrs["complete"] = True
    with partial.open("rb") as finished:
        os.fsync(finished.fileno())
    partial.replace(target)
    for path in rank_paths:
        path.unlink()
    return result


def digest_of(file: h5py.File) -> Digest:
    """Sum up the records of an open trace, part by part, a few chunks at a time."""
    digest = Digest()
    n_records_at_once = 1 << 20
    for part in file["parts"].values():
        for table, columns in STREAMED_TABLES.items():
            n_records = len(part[table][columns[0].name])
            for start in range(0, n_records, n_records_at_once):
                rows = slice(start, start + n_records_at_once)
                digest.add(table, {column.name: part[table][column.name][rows] for column in columns})
    return digest


def _add_view(merged: h5py.File, table: str, n_ranks: int) -> None:
    group = merged.create_group(table)
    for column in STREAMED_TABLES[table]:
        paths = [f"parts/{rank}/{table}/{column.name}" for rank in range(n_ranks)]
        lengths = [len(merged[path]) for path in paths]
        layout = h5py.VirtualLayout((sum(lengths),), column.dtype)
        begin = 0
        for path, length in zip(paths, lengths, strict=True):
            if length:
                layout[begin : begin + length] = h5py.VirtualSource(".", path, (length,))
                begin += length
        group.create_virtual_dataset(column.name, layout)
