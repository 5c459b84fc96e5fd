"""Write one rank's part of a trace while it runs.

Records are gathered to whole chunks, for appending less than a chunk compresses it again and again. Each chunk is
flushed in HDF5's single-writer mode, so that a killed rank leaves a file that opens with everything flushed so far.
"""

import os
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from traces.columns import fit_columns
from traces.digest import Digest
from traces.errors import TraceError
from traces.schema import (
    ATTRIBUTES,
    CHUNK_RECORDS,
    OWN_ATTRIBUTES,
    SCHEMA_NAME,
    SCHEMA_VERSION,
    STATIC_TABLES,
    STREAMED_TABLES,
    TEXT,
    Column,
    Header,
)

#: Readable by HDF5 1.10, and able to survive a killed writer.
LIBVER = ("v110", "v110")

#: Left free on the disk beyond the chunk to write, for the file's own structures.
_MARGIN_BYTES = 1 << 20


def write_table(group: h5py.Group, columns: dict[str, Any], table: str, schema: dict[str, tuple[Column, ...]]) -> None:
    """Write a whole table at once, in the types of its schema, with checksums that HDF5 compares when it reads.

    Text is written in a fixed length: HDF5 keeps text of any length apart, where no checksum covers it.

    Raises:
        TraceError: the columns are not those of the schema.
    """
    fitted = fit_columns(table, columns, schema[table])
    target = group.create_group(table)
    for column in schema[table]:
        values, dtype = fitted[column.name], column.dtype
        if dtype == TEXT:
            texts = [text.encode("utf-8") for text in values]
            dtype = h5py.string_dtype("utf-8", max(map(len, texts), default=0) or 1)
            values = np.array(texts, dtype)
        chunks = (min(len(values), CHUNK_RECORDS),) if len(values) else None  # only chunks can have checksums
        target.create_dataset(column.name, data=values, dtype=dtype, chunks=chunks, fletcher32=chunks is not None)


class _Chunk:
    """Records of one table that are not yet in the file: at most one chunk of them."""

    def __init__(self, table: str) -> None:
        self.n_records = 0
        self.columns = {column.name: np.empty(CHUNK_RECORDS, column.dtype) for column in STREAMED_TABLES[table]}
        self.n_bytes = sum(column.nbytes for column in self.columns.values())

    def take(self, columns: dict[str, NDArray[Any]], begin: int) -> int:
        """Copy records from ``begin`` on until the chunk is full or they run out; return where it stopped."""
        n_taken = min(len(next(iter(columns.values()))) - begin, CHUNK_RECORDS - self.n_records)
        for name, values in columns.items():
            self.columns[name][self.n_records : self.n_records + n_taken] = values[begin : begin + n_taken]
        self.n_records += n_taken
        return begin + n_taken


class RankWriter:
    """The streamed tables of one rank; rank 0 writes the header, too.

    Use as a context manager. Memory stays bounded: one chunk per table, whatever the length of the run. ``digest`` sums
    up what was appended; ``seconds`` is the wall time spent here.

    Args:
        path: the file to make; it must not exist.
        header: on rank 0, what is known of the run before it starts.

    Raises:
        TraceError: the file exists or cannot be made, the disk is full, or the header is not what the schema asks for.
    """

    def __init__(self, path: Path, header: Header | None) -> None:
        self.digest = Digest()
        self.seconds = 0.0
        self._path = path
        self._chunks = {table: _Chunk(table) for table in STREAMED_TABLES}
        self._abandoned: list[h5py.Dataset] = []
        if header is not None:
            _check_header(header)
        if path.parent.is_dir():
            check_space(path, _bytes_of(header) if header else 0)
        try:
            self._file = h5py.File(path, "x", libver=LIBVER)
        except OSError as error:
            raise TraceError(f"{path}: the trace cannot be created: {error}; choose another output folder") from None
        try:
            self._begin(header)
        except TraceError:
            raise
        except (OSError, RuntimeError) as error:  # h5py raises either, depending on where HDF5 noticed
            raise _failed(path, error) from None

    def _begin(self, header: Header | None) -> None:
        """Write all that is known before the first record."""
        self._file.attrs["schema"] = SCHEMA_NAME
        self._file.attrs["schema_version"] = SCHEMA_VERSION
        self._file.attrs["complete"] = False
        if header is not None:
            self._file.attrs.update(header.attributes)
            for table in STATIC_TABLES:
                write_table(self._file, header.tables[table], table, STATIC_TABLES)
        for table, columns in STREAMED_TABLES.items():
            group = self._file.create_group(table)
            for column in columns:
                group.create_dataset(
                    column.name, (0,), column.dtype, maxshape=(None,), chunks=(CHUNK_RECORDS,),
                    compression="gzip", compression_opts=1, shuffle=True,
                )  # fmt: skip
        self._file.flush()
        self._file.swmr_mode = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:  # fmt: skip
        if error is None:
            self.close()
            return
        with suppress(TraceError):  # the first error names the cause
            self.close()

    def append(self, table: str, columns: dict[str, NDArray[Any]]) -> None:
        """Add records to a streamed table; the arrays are copied, so the caller may use them again.

        Raises:
            TraceError: there is no such table, the columns are not its columns, or the disk is full.
        """
        began = time.perf_counter()
        if table not in STREAMED_TABLES:
            raise TraceError(f"{self._path}: no streamed table {table}; there are {', '.join(STREAMED_TABLES)}")
        if not self._file or self._abandoned:
            raise TraceError(
                f"{self._path}: records for {table} came after the file was closed, or could not be written"
            )
        fitted = fit_columns(table, columns, STREAMED_TABLES[table])
        self.digest.add(table, fitted)
        chunk, position = self._chunks[table], 0
        n_records = len(next(iter(fitted.values())))
        while position < n_records:
            position = chunk.take(fitted, position)
            if chunk.n_records == CHUNK_RECORDS:
                self._flush(table)
        self.seconds += time.perf_counter() - began

    def output(self, image: int, values: NDArray[np.int64]) -> None:
        """Add the network's output for one image, flat."""
        elements = np.arange(len(values))
        self.append("outputs", {"image": np.full_like(elements, image), "element": elements, "value": values})

    def close(self) -> None:
        """Write what is left and close the file.

        Raises:
            TraceError: the disk is full or failed.
        """
        if not self._file or self._abandoned:
            return
        began = time.perf_counter()
        try:
            for table, chunk in self._chunks.items():
                if chunk.n_records:
                    self._flush(table)
        finally:
            self._close_file()
        self.seconds += time.perf_counter() - began

    def _flush(self, table: str) -> None:
        """Write the chunk of a table to the file and empty it."""
        chunk = self._chunks[table]
        check_space(self._path, chunk.n_bytes)
        for name, values in chunk.columns.items():
            dataset = self._file[table][name]
            try:
                size = len(dataset)
                dataset.resize((size + chunk.n_records,))
                dataset[size:] = values[: chunk.n_records]
                dataset.flush()
            except (OSError, RuntimeError) as error:  # h5py raises either, depending on where HDF5 noticed
                # HDF5 crashes when it closes what it could not write: keep the dataset open, let the message out first.
                self._abandoned.append(dataset)
                raise _failed(self._path, error) from None
        chunk.n_records = 0

    def _close_file(self) -> None:
        try:
            self._file.close()
        except (OSError, RuntimeError) as error:
            raise _failed(self._path, error) from None


def check_space(path: Path, n_bytes: int) -> None:
    """Refuse to write where the disk has no room for it: after a failed write HDF5 cannot close a file properly.

    Raises:
        TraceError: less than ``n_bytes`` and a margin are free.
    """
    disk = os.statvfs(path.parent)
    free_bytes = disk.f_bavail * disk.f_frsize
    if disk.f_blocks and free_bytes < n_bytes + _MARGIN_BYTES:  # some network file systems report no size at all
        raise TraceError(
            f"{path}: the disk is full ({free_bytes / 2**20:.1f} MiB free); make room or choose another output folder"
        )


def _failed(path: Path, error: Exception) -> TraceError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return TraceError(f"{path}: the trace cannot be written: {reason}; check quota and disk, and run again")


def _bytes_of(header: Header) -> int:
    """Return what the tables of a header take in a file."""
    n_bytes = sum(len(text) for text in header.attributes.values() if isinstance(text, str))
    for table, columns in STATIC_TABLES.items():
        for column in columns:
            values = header.tables[table][column.name]
            width = (
                max((len(str(text)) for text in values), default=0)
                if column.dtype == TEXT
                else np.dtype(column.dtype).itemsize
            )
            n_bytes += width * len(values)
    return n_bytes


def _check_header(header: Header) -> None:
    wanted = set(ATTRIBUTES) - OWN_ATTRIBUTES
    for what, expected, found in (
        ("attributes", wanted, set(header.attributes)),
        ("tables", set(STATIC_TABLES), set(header.tables)),
    ):
        if expected != found:
            missing, unknown = (", ".join(sorted(names)) or "none" for names in (expected - found, found - expected))
            raise TraceError(f"trace header: {what} missing: {missing}; unknown: {unknown}; see traces/SCHEMA.md")
    for table, columns in STATIC_TABLES.items():
        fit_columns(table, header.tables[table], columns)
