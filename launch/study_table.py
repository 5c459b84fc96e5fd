"""The results of a study, for people and for programs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from launch.study_file import Case
from launch.tables import render


@dataclass(frozen=True, slots=True)
class Row:
    """One case; figures are None where its network did not fit, and ``infeasible`` then says why.

    Attributes:
        images_per_second: over the batch.
        images_per_second_steady: None for a single image, too.
        relative: ``images_per_second`` over that of the case it is compared with, by default the study's first.
        bound_images_per_second: what no mapping exceeds in steady state (see ``emulator.optimize.bound``).
    """

    case: str
    clusters_used: int | None = None
    images_per_second: float | None = None
    images_per_second_steady: float | None = None
    makespan_s: float | None = None
    relative: float | None = None
    bound_images_per_second: float | None = None
    infeasible: str | None = None


def make_rows(cases: Sequence[Case], reports: Mapping[str, dict[str, Any]]) -> list[Row]:
    """Make a row of every case's report.

    Args:
        cases: in the order of the study.
        reports: by the name of the case.
    """
    rows = []
    for case in cases:
        report = reports[case.name]
        if "infeasible" in report:
            rows.append(Row(case.name, infeasible=report["infeasible"]))
            continue
        rate, other = report["images_per_second"], reports[case.relative_to or cases[0].name].get("images_per_second")
        rows.append(
            Row(
                case=case.name,
                clusters_used=report["clusters_used"],
                images_per_second=rate,
                images_per_second_steady=report["images_per_second_steady"],
                makespan_s=report["makespan_s"],
                relative=rate / other if other else None,
                bound_images_per_second=report["bound_images_per_second"],
            )
        )
    return rows


def rows_to_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the rows as plain values; times in seconds."""
    return [asdict(row) for row in rows]


def rows_to_text(rows: Sequence[Row]) -> str:
    """Return the rows as a table, and below it why a network did not fit."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("case", overflow="fold")
    for heading in ("clusters", "images/s", "steady images/s", "bound", "makespan", "relative"):
        table.add_column(heading, justify="right")
    for row in rows:
        if row.infeasible is not None:
            table.add_row(escape(row.case), "does not fit", *["-"] * 5)
            continue
        table.add_row(
            escape(row.case),
            str(row.clusters_used),
            number(row.images_per_second, ",.1f"),
            number(row.images_per_second_steady, ",.1f"),
            number(row.bound_images_per_second, ",.0f"),
            number(row.makespan_s and 1e3 * row.makespan_s, ",.3f", " ms"),
            number(row.relative, ".3f", " x"),
        )
    notes = [f"{row.case}: {row.infeasible}" for row in rows if row.infeasible is not None]
    return "\n".join([render(table), *notes])


def number(value: float | None, form: str, unit: str = "") -> str:
    """Write a number in the given format, or a dash for none."""
    return "-" if value is None else f"{value:{form}}{unit}"
