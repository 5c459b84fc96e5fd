"""Columns as the schema wants them: all there, of one length, and every number inside the range of its type."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traces.errors import TraceError
from traces.schema import TEXT, Column


def fit_columns(table: str, columns: Mapping[str, Any], schema: Sequence[Column]) -> dict[str, NDArray[Any]]:
    """Return the columns of a table in the types and the order of its schema; text as an object array.

    HDF5 would clip numbers that are too large for their column without a word, so they are refused here.

    Raises:
        TraceError: a column is missing, unknown, longer than another, or holds what its type cannot.
    """
    names = [column.name for column in schema]
    if set(columns) != set(names):
        raise TraceError(f"trace table {table}: expected the columns {', '.join(names)}; got {', '.join(columns)}")
    fitted = {column.name: _fit(table, column, columns[column.name]) for column in schema}
    lengths = {name: len(values) for name, values in fitted.items()}
    if len(set(lengths.values())) > 1:
        raise TraceError(f"trace table {table}: expected columns of one length, got {lengths}")
    return fitted


def _fit(table: str, column: Column, values: object) -> NDArray[Any]:
    if column.dtype == TEXT:
        return np.asarray(values, object)
    found, wanted = np.asarray(values), np.dtype(column.dtype)
    where = f"trace column {table}/{column.name}"
    if found.ndim != 1:
        raise TraceError(f"{where}: expected one dimension, got the shape {found.shape}")
    if found.size and wanted.kind in "iu":
        limits = np.iinfo(wanted)
        if found.dtype.kind not in "iu":
            raise TraceError(f"{where}: expected whole numbers, got {found.dtype}")
        low, high = int(found.min()), int(found.max())
        if low < limits.min or high > limits.max:
            raise TraceError(f"{where}: expected {limits.min} to {limits.max} ({wanted}), got {low} to {high}")
    return found.astype(wanted, copy=False)
