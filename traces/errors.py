"""The one error of this package."""


class TraceError(OSError):
    """A trace cannot be written, opened or trusted; the message names the file and what to do."""

    exit_code = 8
