"""Tables of a trace as CSV or Parquet files, a million rows at a time."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

from traces.errors import TraceError
from traces.export import needing
from traces.reader import Trace
from traces.schema import TABLES, TEXT

Format = Literal["csv", "parquet"]
_ROWS_AT_ONCE = 1 << 20


def write_files(trace: Trace, folder: Path, form: Format) -> list[Path]:
    """Write every table that has rows to ``folder/TABLE.csv`` or ``.parquet``, and attributes to ``attributes.json``.

    Returns:
        What was written.

    Raises:
        TraceError: pyarrow is not installed, or a file cannot be written.
    """
    with needing({"csv": "a CSV file", "parquet": "a Parquet file"}[form]):
        import pyarrow as pa
        import pyarrow.csv
        import pyarrow.parquet
    makers: dict[Format, Callable[[Path, Any], AbstractContextManager[Any]]] = {
        "csv": pyarrow.csv.CSVWriter,
        "parquet": pyarrow.parquet.ParquetWriter,
    }
    written = [folder / "attributes.json"]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written[0].write_text(json.dumps(trace.attributes(), indent=2), encoding="utf-8")
        for table in TABLES:
            if table not in trace or not len(trace[table]):
                continue
            path = folder / f"{table}.{form}"
            batches = _batches(trace, table, pa)
            first = next(batches)
            with makers[form](path, first.schema) as writer:
                writer.write_batch(first)
                for batch in batches:
                    writer.write_batch(batch)
            written.append(path)
    except TraceError:  # an OSError, too, but one of reading that says all there is to say
        raise
    except OSError as error:
        raise TraceError(f"{folder}: cannot be written: {error}; choose another place") from None
    return written


def _batches(trace: Trace, table: str, pa: Any) -> Iterator[Any]:  # noqa: ANN401 (pyarrow has no types)
    columns = [column for column in TABLES[table] if column.name in trace[table]]
    kinds = {"f8": pa.float64()} | {f"{sign}{n}": pa.type_for_alias(f"{'u' if sign == 'u' else ''}int{8 * n}")
                                    for sign in "iu" for n in (1, 2, 4, 8)}  # fmt: skip
    schema = pa.schema([(c.name, pa.string() if c.dtype == TEXT else kinds[c.dtype]) for c in columns])
    for values in trace[table].chunks(*(column.name for column in columns), n_records=_ROWS_AT_ONCE):
        yield pa.record_batch([pa.array(each) for each in values], schema=schema)
