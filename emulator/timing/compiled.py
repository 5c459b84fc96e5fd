"""How the timing engine is compiled: without reference counts, and kept on disk as one whole."""

from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import ParamSpec, TypeVar

import numba as nb
from numba.core.dispatcher import Dispatcher

from emulator.errors import ConfigError
from emulator.program import lower
from traces import schema

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function that allocates nothing, without reference counts: four times faster, half the compile time.

    Numba takes a function from its cache as long as the file of that function is unchanged, although what it calls in
    other files is compiled into it. So the stamp that it compares is replaced by one of all files of the engine.
    """
    kernel: Callable[P, R] = nb.njit(cache=True, _nrt=False)(function)  # type: ignore[call-overload]  # not in the stubs
    if isinstance(kernel, Dispatcher):  # not where NUMBA_DISABLE_JIT is set: see require_compiler
        kept = kernel._cache._cache_file  # type: ignore[attr-defined]  # noqa: SLF001 (numba has no public way)
        kept._source_stamp = stamp_of(sources())  # noqa: SLF001
    return kernel


def require_compiler() -> None:
    """Refuse to run where numba has been told not to compile: what runs here reads records as only compiled code can.

    Raises:
        ConfigError: the environment says so.
    """
    if nb.config.DISABLE_JIT:  # type: ignore[attr-defined]  # set when numba reads the environment
        raise ConfigError("NUMBA_DISABLE_JIT is set, but the emulator runs compiled only; unset it and run again")


@cache
def sources() -> tuple[Path, ...]:
    """Return every file beside this one, and those whose constants and fields are compiled into the engine."""
    return (*sorted(Path(__file__).parent.glob("*.py")), Path(lower.__file__), Path(schema.__file__))


@cache
def stamp_of(files: tuple[Path, ...]) -> str:
    """Return a hash of what the files say: copies and installed packages may share times and sizes, and differ."""
    digest = sha256()
    for file in files:
        digest.update(sha256(file.read_bytes()).digest())
    return digest.hexdigest()
