"""Tables for people, as text."""

import io

from rich import box
from rich.console import Console
from rich.table import Table


def new_table(title: str) -> Table:
    """Return an empty table in the style of all of ours."""
    return Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")


def render(table: Table, width: int = 120) -> str:
    """Return a table as text of at most ``width`` columns."""
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(table)
    file = console.file
    assert isinstance(file, io.StringIO)
    return "\n".join(line.rstrip() for line in file.getvalue().rstrip().splitlines())
