"""A comparison of runs as text for people."""

import io

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as TextTable

from traces.compare import RunComparison
from traces.digits import significant
from traces.figure_names import figure_name

_NO_VALUE = "-"


def comparison_to_text(comparison: RunComparison, width: int = 120) -> str:
    """Return a comparison as text of at most ``width`` columns."""
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print("[bold]What was asked for[/bold]")
    console.print(_difference_table(comparison) if comparison.differences else "All files of the runs say the same.\n")
    console.print("[bold]What came out (in brackets: over the first run)[/bold]")
    console.print(_figure_table(comparison))
    moved = _layer_table(comparison)
    console.print("[bold]Layers: clusters and the busiest one's share of the makespan; * sits elsewhere[/bold]")
    console.print(moved)
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def figure_cells(values: tuple[float | None, ...]) -> list[str]:
    """Return a figure of each run as text, the ratio to the first run's beside it."""
    cells = []
    for i, value in enumerate(values):
        text = f"{value:,.0f}" if value is not None and value.is_integer() else significant(value, 5)
        ratio = f" ({value / values[0]:.2f}x)" if i and value is not None and values[0] else ""
        cells.append(text + ratio)
    return cells


def layer_cells(comparison: RunComparison, row: int) -> list[str]:
    """Return what each run does with a layer as text."""
    change = comparison.layers[row]
    cells = []
    for n_clusters, share, moved in zip(change.n_clusters, change.busiest_share, change.moved, strict=True):
        text = _NO_VALUE if n_clusters is None else str(n_clusters)
        cells.append(text + (f", {share:.1%}" if share is not None else "") + (" *" if moved else ""))
    return cells


def _new_table(comparison: RunComparison, *headings: str) -> TextTable:
    table = TextTable(box=box.SIMPLE_HEAD)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for label in comparison.labels:
        table.add_column(escape(label), justify="right", overflow="fold")
    return table


def _difference_table(comparison: RunComparison) -> TextTable:
    table = _new_table(comparison, "file", "key")
    for each in comparison.differences:
        values = (_NO_VALUE if value is None else escape(str(value)) for value in each.values)
        table.add_row(each.file, escape(each.key), *values)
    return table


def _figure_table(comparison: RunComparison) -> TextTable:
    table = _new_table(comparison, "figure")
    for name, values in comparison.figures.items():
        if any(value is not None for value in values):
            table.add_row(figure_name(name), *figure_cells(values))
    return table


def _layer_table(comparison: RunComparison) -> TextTable:
    table = _new_table(comparison, "layer")
    for i, change in enumerate(comparison.layers):
        table.add_row(escape(change.layer), *layer_cells(comparison, i))
    return table
