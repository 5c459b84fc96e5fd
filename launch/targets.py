"""Files that commands write: as a whole or not at all, and never over one of the traces that they read."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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


@contextmanager
def whole(target: Path) -> Iterator[Path]:
    """Yield where to write a file that takes the place of ``target`` once it is whole; until then that stays as it is.

    What is no regular file, such as a device or a folder, is written to as it stands.

    Raises:
        TraceError: as raised within, about ``target``.
    """
    if target.exists() and not target.is_file():
        yield target
        return
    final = target.resolve()
    partial = final.with_name(final.name + ".part")
    try:
        yield partial
        partial.replace(final)
    except TraceError as error:
        raise TraceError(str(error).replace(str(partial), str(target))) from error
    finally:
        partial.unlink(missing_ok=True)
