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
from traces.writer import LIBVER, check_space, write_table


def merge_ranks(
    rank_paths: Sequence[Path], target: Path, *, summaries: dict[str, dict[str, Any]], n_events: int, digest: Digest
) -> str:
    """Make ``target`` from the files of all ranks, verify it, mark it complete and remove the rank files.

    Args:
        rank_paths: closed files, by rank; the first holds the header.
        target: the trace to make; must not exist, and appears only when it is complete.
        summaries: columns of the summary tables.
        n_events: timing events handled on all ranks.
        digest: what the ranks summed up while writing.

    Returns:
        The digest, hexadecimal.

    Raises:
        TraceError: a rank's file is missing or was not closed, the target exists, the disk is full, or what is in the
            file is not what the ranks wrote. The rank files stay.
    """
    if target.exists():
        raise TraceError(f"{target}: there is a trace already; choose another output folder")
    for path in rank_paths:
        if not path.exists():
            raise TraceError(f"{path}: a rank's file is missing; all ranks must share the output folder's file system")
    check_space(target, sum(path.stat().st_size for path in rank_paths))
    partial = target.with_name(target.name + ".part")
    try:
        result = _write_merged(rank_paths, partial, summaries=summaries, n_events=n_events, digest=digest)
        _sync(partial)
        partial.replace(target)
        _sync(target.parent)
    except TraceError:
        raise
    except (OSError, RuntimeError) as error:  # h5py raises either, depending on where HDF5 noticed
        raise TraceError(f"{target}: the files of the ranks cannot be put together: {error}") from None
    for path in rank_paths:
        path.unlink()
    return result


def digest_of(file: h5py.File) -> Digest:
    """Sum up the records of an open trace a few chunks at a time, through the same views that readers use."""
    digest = Digest()
    n_records_at_once = 1 << 20
    for table, columns in STREAMED_TABLES.items():
        views = {column.name: file[table][column.name] for column in columns}
        for start in range(0, len(views[columns[0].name]), n_records_at_once):
            digest.add(table, {name: view[start : start + n_records_at_once] for name, view in views.items()})
    return digest


def _write_merged(
    rank_paths: Sequence[Path], partial: Path, *, summaries: dict[str, dict[str, Any]], n_events: int, digest: Digest
) -> str:
    with h5py.File(partial, "w", libver=LIBVER) as merged:
        for rank, path in enumerate(rank_paths):
            _copy_part(path, merged, rank)
        for table in STREAMED_TABLES:
            _add_view(merged, table, len(rank_paths))
        for table in SUMMARY_TABLES:
            write_table(merged, summaries[table], table, SUMMARY_TABLES)
        merged.attrs["n_events"] = n_events
        _compare(partial, found=digest_of(merged), written=digest)
        result = digest.hexdigest(str(merged.attrs["program_hash"]))
        merged.attrs["digest"] = result
        merged.attrs["complete"] = True
    return result


def _copy_part(path: Path, merged: h5py.File, rank: int) -> None:
    with h5py.File(path, "r") as source:
        if rank == 0:
            merged.attrs.update(source.attrs)
            for table in STATIC_TABLES:
                source.copy(table, merged)
        part = merged.create_group(f"parts/{rank}")
        for table in STREAMED_TABLES:
            source.copy(table, part)


def _compare(partial: Path, *, found: Digest, written: Digest) -> None:
    """Refuse a file whose records are not those that were written; a table without records counts as absent."""
    for table in STREAMED_TABLES:
        n_found, n_written = found.counts.get(table, 0), written.counts.get(table, 0)
        if (n_found, found.lanes.get(table, (0, 0))) != (n_written, written.lanes.get(table, (0, 0))):
            raise TraceError(
                f"{partial}: table {table} reads back otherwise than it was written "
                f"({n_found} records read, {n_written} written); the disk may be damaged, run again elsewhere"
            )


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


def _sync(path: Path) -> None:
    """Bring a file or the names in a folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
