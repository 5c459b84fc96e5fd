"""Signs of life for people: on a terminal, or where the parent process says that it has one."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:  # reports, which search nothing, shall not wait for what searches
    from emulator.optimize.judge import Found, OnCandidate


@contextmanager
def working(on_what: str, *, shown: bool) -> Iterator[Callable[[str], None]]:
    """Show what is being done, as long as it lasts; yields what to call with other words for it."""
    if not shown:
        yield lambda _: None
        return
    with Console(file=sys.stderr, force_terminal=True).status(on_what) as status:
        yield status.update


@contextmanager
def preparing(on_what: str, *, shown: bool) -> "Iterator[OnCandidate]":
    """Show that something is being prepared; yields what hears of the candidates of a search for a mapping."""
    with working(on_what, shown=shown) as say:

        def on_candidate(number: int, n_all: int, best: "Found | None") -> None:
            words = f"searching a mapping, {number} of {n_all} candidates (Ctrl-C keeps the best so far)"
            if best is not None:
                words += f": {best.figures.images_per_second:,.0f} images/s over the batch, "
                words += f"{best.figures.steady_images_per_second:,.0f} of at most {best.bound.images_per_second:,.0f} "
                words += "in steady state"
            say(words)

        yield on_candidate


@contextmanager
def image_progress(n_images: int, *, shown: bool) -> Iterator[Callable[[int], None]]:
    """Show how many images are done; yields what to call after each."""
    with _progress("computing images", n_images, shown=shown) as advance:
        yield lambda _: advance(1)


@contextmanager
def case_progress(n_cases: int, *, shown: bool) -> Iterator[Callable[[int], None]]:
    """Show how many cases of a study are done; yields what to call with the number of cases done since."""
    with _progress("emulating cases", n_cases, shown=shown) as advance:
        yield advance


@contextmanager
def _progress(what: str, total: int, *, shown: bool) -> Iterator[Callable[[int], None]]:
    if not shown:
        yield lambda _: None
        return
    console = Console(file=sys.stderr, force_terminal=True)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda n_done: progress.advance(task, n_done)
