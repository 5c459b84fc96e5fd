"""A trace in the formats of other tools."""

from collections.abc import Iterator
from contextlib import contextmanager

from traces.errors import TraceError


@contextmanager
def needing(what: str) -> Iterator[None]:
    """Turn a failed import within into a message that says which extra brings it.

    Raises:
        TraceError: what was imported is not installed.
    """
    try:
        yield
    except ImportError as error:
        raise TraceError(
            f"{what} needs {error.name}, which is not installed: pip install 'aimc-emulator[export]'"
        ) from None
