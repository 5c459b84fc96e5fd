"""Read a finished trace: checked when opened, columns read when asked for."""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from traces.errors import TraceError
from traces.merge import digest_of
from traces.schema import ATTRIBUTES, SCHEMA_NAME, SCHEMA_VERSION, TABLES, TEXT

TRACE_NAME = "trace.h5"

#: What HDF5's library raises, by way of h5py, where bytes of a file are not what they were.
_DAMAGE = (OSError, KeyError, RuntimeError, ValueError, TypeError)

#: Units of columns that refer to another table begin so.
_ROW_OF = "row of "


class Table:
    """One table of a trace; ``table["column"]`` reads a whole column, ``chunks`` a few columns piece by piece."""

    def __init__(self, group: h5py.Group, name: str) -> None:
        self._group = group
        self._name = name
        self._text = {column.name for column in TABLES[name] if column.dtype == TEXT}
        self._first = TABLES[name][0].name
        self._refers_to = {c.name: c.unit.removeprefix(_ROW_OF) for c in TABLES[name] if c.unit.startswith(_ROW_OF)}

    def __len__(self) -> int:
        return len(self._group[self._first])

    def __contains__(self, column: str) -> bool:
        """Tell whether the table has a column: younger ones are absent in older traces."""
        return column in self._group

    def __getitem__(self, column: str) -> NDArray[Any]:
        return self.read(column)

    def read(self, column: str, begin: int = 0, end: int | None = None) -> NDArray[Any]:
        """Return rows ``begin`` to ``end`` (all by default) of a column; only these are read.

        Raises:
            TraceError: the table has no such column, its data are damaged, or it names rows that are not there.
        """
        if column not in self._group:
            there = ", ".join(self._group)
            raise TraceError(f"{self._group.file.filename}: table {self._name} has no column {column}; it has {there}")
        where = f"{self._group.file.filename}: {self._name}/{column}"
        try:
            dataset = self._group[column]
            values = np.asarray((dataset.asstr() if column in self._text else dataset)[begin:end])
            n_rows = len(Table(self._group.parent[other], other)) if (other := self._refers_to.get(column)) else 0
        except _DAMAGE as error:
            raise TraceError(f"{where} cannot be read: {error}: the trace is damaged; run it again") from None
        if other and values.size and not -1 <= int(values.min()) <= int(values.max()) < n_rows:
            raise TraceError(f"{where} names a row that {other} does not have: the trace is damaged; run it again")
        return values

    def chunks(self, *columns: str, n_records: int = 1 << 20) -> Iterator[tuple[NDArray[Any], ...]]:
        """Yield the named columns ``n_records`` at a time, for traces larger than memory."""
        for begin in range(0, len(self), n_records):
            yield tuple(self.read(column, begin, begin + n_records) for column in columns)


class Trace:
    """A complete trace, open for reading; use as a context manager.

    Args:
        path: the trace file, or the output folder of a run.

    Raises:
        TraceError: there is no such file, it is no trace, newer than this reader, or unfinished.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path) / TRACE_NAME if Path(path).is_dir() else Path(path)
        self._file = _open(self.path)
        try:
            self._check()
        except TraceError:
            self._file.close()
            raise
        except _DAMAGE as error:
            self._file.close()
            raise TraceError(f"{self.path}: cannot be read: {error}: the trace is damaged; run it again") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:  # fmt: skip
        self._file.close()

    def __contains__(self, table: str) -> bool:
        """Tell whether the trace has a table: younger ones are absent in older traces."""
        return table in TABLES and table in self._file

    def __getitem__(self, table: str) -> Table:
        """Return a table of the schema: ``trace["firings"]["start_ps"]``.

        Raises:
            TraceError: traces have no such table, or this one is older than the table.
        """
        if table not in self:
            there = ", ".join(name for name in TABLES if name in self._file)
            raise TraceError(f"{self.path}: no table {table}; there are {there}")
        return Table(self._file[table], table)

    def attribute(self, name: str) -> Any:  # noqa: ANN401 (text, number or truth value, see SCHEMA.md)
        """Return an attribute of the file as a plain Python value.

        Raises:
            TraceError: the file has no such attribute.
        """
        if name not in self._file.attrs:
            raise TraceError(f"{self.path}: no attribute {name}; there are {', '.join(self._file.attrs)}")
        value = self._file.attrs[name]
        return value.item() if isinstance(value, np.generic) else value

    def attributes(self) -> dict[str, Any]:
        """Return the attributes by name, without those that are younger than the file."""
        return {name: self.attribute(name) for name in ATTRIBUTES if name in self._file.attrs}

    @property
    def has_timing(self) -> bool:
        """Whether the timing plane ran."""
        return str(self.attribute("plane")) != "values"

    @property
    def has_values(self) -> bool:
        """Whether the value plane ran."""
        return str(self.attribute("plane")) != "timing"

    def outputs(self) -> NDArray[np.int32]:
        """Return the quantised outputs, (n_images, elements), in image order.

        Raises:
            TraceError: the value plane did not run.
        """
        if not self.has_values:
            raise TraceError(f"{self.path}: the run had no value plane, so there are no outputs")
        table = self["outputs"]
        image, element, value = (table[name] for name in ("image", "element", "value"))
        result = np.zeros((int(self.attribute("n_images")), int(element.max()) + 1), np.int32)
        result[image, element] = value
        return result

    def compute_digest(self) -> str:
        """Work the digest out anew from the records; equals the attribute ``digest`` of an intact trace.

        Raises:
            TraceError: records cannot be read.
        """
        try:
            return digest_of(self._file).hexdigest(self.attribute("program_hash"))
        except (OSError, RuntimeError) as error:
            raise TraceError(f"{self.path}: records cannot be read: {error}: damaged; run it again") from None

    def _check(self) -> None:
        attributes = self._file.attrs
        if attributes.get("schema") != SCHEMA_NAME:
            raise TraceError(f"{self.path}: an HDF5 file, but not a trace; expected the output of 'aimc run'")
        version = int(self.attribute("schema_version"))
        if version > SCHEMA_VERSION:
            raise TraceError(
                f"{self.path}: trace schema {version} is newer than this reader's {SCHEMA_VERSION}; update the emulator"
            )
        if not attributes.get("complete", False):
            raise TraceError(f"{self.path}: the run that wrote this trace did not finish; run it again")
        for table, columns in TABLES.items():
            self._check_table(table, [column.name for column in columns if column.since <= version])

    def _check_table(self, table: str, names: list[str]) -> None:
        """Refuse a table that lacks a column of its version or has columns of different lengths."""
        lengths = set()
        for name in names:
            path = f"{table}/{name}"
            if path not in self._file:
                raise TraceError(f"{self.path}: {path} is missing: the trace is damaged; run it again")
            lengths.add(len(self._file[path]))
        if len(lengths) > 1:
            raise TraceError(f"{self.path}: columns of {table} differ in length: the trace is damaged; run it again")


def _open(path: Path) -> h5py.File:
    if not path.exists():
        if path.name == TRACE_NAME and path.parent.is_dir():
            raise TraceError(
                f"{path.parent}: no {TRACE_NAME} here: the run did not finish, or this is no run's output folder"
            )
        raise TraceError(f"{path}: no such file; expected a trace or the output folder of 'aimc run'")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise TraceError(f"{path}: not a readable HDF5 file (truncated, or another format): {error}") from None
