"""A progress bar for people: on a terminal, or where the parent process says that it has one."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


@contextmanager
def working(on_what: str, *, shown: bool) -> Iterator[None]:
    """Show that something is being worked on."""
    if not shown:
        yield
        return
    with Console(file=sys.stderr, force_terminal=True).status(on_what):
        yield


@contextmanager
def image_progress(n_images: int, *, shown: bool) -> Iterator[Callable[[int], None]]:
    """Show how many images are done; yields what to call after each."""
    if not shown:
        yield lambda _: None
        return
    console = Console(file=sys.stderr, force_terminal=True)
    columns = (TextColumn("computing images"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("images", total=n_images)
        yield lambda _: progress.advance(task)
