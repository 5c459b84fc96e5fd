"""Tables of a trace as data frames of pandas and polars and as data sets of xarray: whole columns, no loops over rows.

Columns whose unit is an enumeration come as categories with the names of its members where the library has such.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from traces.analysis.accounting import CAUSES, TimeAccount
from traces.export import needing
from traces.reader import Trace
from traces.schema import TABLES, ActorKind, Cause, Resource

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import xarray as xr

_ENUMERATIONS = {each.__name__: [member.name for member in each] for each in (ActorKind, Resource, Cause)}


def read_columns(trace: Trace, table: str, columns: tuple[str, ...] = ()) -> dict[str, NDArray[Any]]:
    """Return columns of a table by name, all that the trace has if none are named."""
    there = trace[table]
    names = columns or tuple(column.name for column in TABLES[table] if column.name in there)
    return {name: there[name] for name in names}


def to_pandas(trace: Trace, table: str, *columns: str) -> "pd.DataFrame":
    """Return a table as a pandas data frame.

    Raises:
        TraceError: pandas is not installed, or there is no such table or column.
    """
    with needing("a data frame"):
        import pandas as pd
    read = read_columns(trace, table, columns)
    return pd.DataFrame({
        name: pd.Categorical.from_codes(values.astype(np.int8), _ENUMERATIONS[unit])
        if (unit := _unit(table, name)) in _ENUMERATIONS
        else values
        for name, values in read.items()
    })  # fmt: skip


def to_polars(trace: Trace, table: str, *columns: str) -> "pl.DataFrame":
    """Return a table as a polars data frame.

    Raises:
        TraceError: polars is not installed, or there is no such table or column.
    """
    with needing("a data frame"):
        import polars as pl
    series = []
    for name, values in read_columns(trace, table, columns).items():
        members = _ENUMERATIONS.get(_unit(table, name))
        if members is None:
            series.append(pl.Series(name, values.tolist() if values.dtype == object else values))
        else:
            names = pl.Series(members)
            series.append(names.gather(values.astype(np.uint32)).cast(pl.Enum(members)).alias(name))
    return pl.DataFrame(series)


def to_xarray(trace: Trace, table: str, *columns: str) -> "xr.Dataset":
    """Return a table as an xarray data set over the dimension ``row``, with units as attributes.

    Raises:
        TraceError: xarray is not installed, or there is no such table or column.
    """
    with needing("a data set"):
        import xarray as xr
    read = read_columns(trace, table, columns)
    variables = {name: ("row", values, {"units": _unit(table, name)}) for name, values in read.items()}
    return xr.Dataset(variables, attrs={"table": table, "run": str(trace.attribute("name"))})


def time_account_to_xarray(account: TimeAccount) -> "xr.DataArray":
    """Return the time of every used cluster by cause, in picoseconds, over the dimensions ``cluster`` and ``cause``.

    Raises:
        TraceError: xarray is not installed.
    """
    with needing("a data set"):
        import xarray as xr
    coordinates = {"cluster": account.cluster, "cause": list(CAUSES), "layer": ("cluster", account.layer)}
    return xr.DataArray(account.time_ps, coordinates, ("cluster", "cause"), "time", {"units": "ps"})


def _unit(table: str, name: str) -> str:
    return next(column.unit for column in TABLES[table] if column.name == name)
