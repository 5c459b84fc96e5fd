"""Write one rank's part of a trace while it runs.

Records are gathered to whole chunks, for appending less than a chunk compresses it again and again. Each chunk is
flushed in HDF5's single-writer mode, so that a killed rank leaves a file that opens with everything flushed so far.
"""

import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from traces.digest import Digest
from traces.errors import TraceError
from traces.schema import CHUNK_RECORDS, SCHEMA_NAME, SCHEMA_VERSION, STATIC_TABLES, STREAMED_TABLES, TEXT, Header

#: Readable by HDF5 1.10, and able to survive a killed writer.
LIBVER = ("v110", "v110")


def write_table(group: h5py.Group, columns: dict[str, Any], table: str, schema: dict[str, Any]) -> None:
    """Write a whole table at once, in the types of its schema."""
    target = group.create_group(table)
    for column in schema[table]:
        values = columns[column.name]
        if column.dtype == TEXT:
            target.create_dataset(column.name, data=list(values), dtype=h5py.string_dtype())
        else:
            target.create_dataset(column.name, data=np.asarray(values).astype(column.dtype))


class RankWriter:
    """The streamed tables of one rank; rank 0 writes the header, too.

    Use as a context manager. ``digest`` sums up what was appended; ``seconds`` is the wall time spent here.
    """

    def __init__(self, path: Path, header: Header | None) -> None:
        self.digest = Digest()
        self.seconds = 0.0
        self._path = path
        self._pending: dict[str, list[dict[str, NDArray[Any]]]] = {table: [] for table in STREAMED_TABLES}
        self._n_pending = dict.fromkeys(STREAMED_TABLES, 0)
        try:
            self._file = h5py.File(path, "x", libver=LIBVER)
        except OSError as error:
            raise TraceError(f"{path}: the trace cannot be created: {error}; choose another output folder") from None
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
        self.close()

    def append(self, table: str, columns: dict[str, NDArray[Any]]) -> None:
        """Add records to a streamed table; the arrays must not be changed afterwards."""
        began = time.perf_counter()
        self.digest.add(table, columns)
        self._pending[table].append(columns)
        self._n_pending[table] += len(next(iter(columns.values())))
        if self._n_pending[table] >= CHUNK_RECORDS:
            self._write(table, self._n_pending[table] // CHUNK_RECORDS * CHUNK_RECORDS)
        self.seconds += time.perf_counter() - began

    def output(self, image: int, values: NDArray[np.int64]) -> None:
        """Add the network's output for one image, flat."""
        elements = np.arange(len(values))
        self.append("outputs", {"image": np.full_like(elements, image), "element": elements, "value": values})

    def close(self) -> None:
        """Write what is left and close the file."""
        if not self._file:
            return
        began = time.perf_counter()
        for table in STREAMED_TABLES:
            if self._n_pending[table]:
                self._write(table, self._n_pending[table])
        self._file.close()
        self.seconds += time.perf_counter() - began

    def _write(self, table: str, n_records: int) -> None:
        """Write the first ``n_records`` that are pending and keep the rest."""
        batches = self._pending[table]
        rest: dict[str, NDArray[Any]] = {}
        for column in STREAMED_TABLES[table]:
            values = np.concatenate([batch[column.name] for batch in batches])
            dataset = self._file[table][column.name]
            size = len(dataset)
            dataset.resize((size + n_records,))
            dataset[size:] = values[:n_records]
            dataset.flush()
            rest[column.name] = values[n_records:]
        self._n_pending[table] -= n_records
        self._pending[table] = [rest] if self._n_pending[table] else []
