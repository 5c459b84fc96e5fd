"""Files that commands write beside traces: never over one of the traces that they read."""

from collections.abc import Sequence
from pathlib import Path

from traces.errors import TraceError
from traces.reader import Trace


def keep_traces(traces: Sequence[Trace], *targets: Path | None) -> None:
    """Refuse to write over a trace.

    Args:
        traces: those that the command reads.
        targets: files that it will write; None where one was not asked for.

    Raises:
        TraceError: a target is one of the traces.
    """
    for target in filter(None, targets):
        if target.exists() and any(target.samefile(trace.path) for trace in traces):
            raise TraceError(f"{target}: this is the trace that is read; choose another place to write to")
