"""What figures are drawn from."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traces.analysis.records import Records, order_records
from traces.analysis.timing import Timing
from traces.errors import TraceError
from traces.reader import Trace
from traces.report import Report, make_report


@dataclass(frozen=True, slots=True)
class FigureData:
    """A trace with a timing plane, its records in order and its report."""

    trace: Trace
    records: Records
    report: Report
    timing: Timing

    @property
    def makespan_ms(self) -> float:
        """Length of the time axis."""
        return self.timing.throughput.makespan_ps / 1e9

    def ms_since_begin(self, time_ps: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return times as they stand on the time axis."""
        since: NDArray[np.float64] = (time_ps - self.timing.throughput.begin_ps) / 1e9
        return since


def figure_data(trace: Trace) -> FigureData:
    """Read a trace for its figures.

    Raises:
        TraceError: its run had no timing plane.
    """
    if not trace.has_timing:
        raise TraceError(f"{trace.path}: the run had no timing plane, so there are no times")
    records = order_records(trace)
    return with_report(trace, records, make_report(trace, records=records))


def with_report(trace: Trace, records: Records, report: Report) -> FigureData:
    """Put together what has been read already."""
    assert report.timing is not None
    return FigureData(trace, records, report, report.timing)
