"""Published figures beside emulated ones: how far apart they are, why, and what shows it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.markup import escape

from launch.study_file import Published, Study, variant_name
from launch.study_table import number
from launch.tables import new_table, render

#: A deviation beyond this share asks for a cause.
_LARGE = 0.10

Reports = Mapping[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Emulated:
    """What one reading of the chip gives; None where a case does not fit or its report lacks the figure.

    Attributes:
        variant: None for the chip as it stands in its file.
        deviation: relative to the published figure.
    """

    variant: str | None
    value: float | None
    deviation: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A published figure, the emulated ones, and the experiments that show where a difference comes from.

    Attributes:
        experiments: the figure in each case that ``cause`` rests on.
    """

    name: str
    published: float
    source: str
    emulated: tuple[Emulated, ...]
    cause: str | None
    experiments: tuple[tuple[str, float | None], ...]

    @property
    def is_large(self) -> bool:
        """Whether any reading is further from the published figure than is left without comment."""
        return any(each.deviation is None or abs(each.deviation) > _LARGE for each in self.emulated)


def compare(study: Study, reports: Reports) -> list[Comparison]:
    """Hold a study's results against the published figures that it names."""
    return [_compare(study, each, reports) for each in study.published]


def _compare(study: Study, published: Published, reports: Reports) -> Comparison:
    emulated = []
    for variant in (None, *(each.name for each in study.variants)):
        over = published.over and variant_name(published.over, variant)
        value = _figure(published, variant_name(published.case, variant), over, reports)
        deviation = None if value is None else value / published.value - 1
        emulated.append(Emulated(variant, value, deviation))
    experiments = [
        (case, _figure(published, case, published.over, reports))
        for name in published.shown_by
        for case in _cases_called(study, name)
    ]
    return Comparison(
        published.name, published.value, published.source, tuple(emulated), published.cause, tuple(experiments)
    )


def _cases_called(study: Study, name: str) -> list[str]:
    """Return the case of that name, or the cases of the sweep of that name."""
    for sweep in study.sweeps:
        if sweep.name == name:
            return [case.name for case in sweep.cases()]
    return [name]


def _figure(published: Published, case: str, over: str | None, reports: Reports) -> float | None:
    values = [_look_up(reports[name], published.figure) for name in (case, over) if name is not None]
    if any(value is None for value in values):
        return None
    numerator, *denominator = [value for value in values if value is not None]
    return published.times * numerator / (denominator[0] if denominator else 1)


def _look_up(report: Mapping[str, Any], figure: str) -> float | None:
    found: Any = report
    for key in figure.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, int | float) else None


def comparisons_to_json(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    """Return the comparisons as plain values; deviations as shares of the published figure."""
    return [
        {**asdict(each), "experiments": [{"case": case, "value": value} for case, value in each.experiments]}
        for each in comparisons
    ]


def comparisons_to_text(comparisons: Sequence[Comparison]) -> str:
    """Return the comparisons as a table, and below it the cause of every large deviation with what shows it."""
    table = new_table("Published and emulated")
    table.add_column("figure", overflow="fold")
    table.add_column("published", justify="right")
    for emulated in comparisons[0].emulated:
        for heading in (emulated.variant or "emulated", "deviation"):
            table.add_column(heading, justify="right")
    for each in comparisons:
        cells = [
            cell
            for emulated in each.emulated
            for cell in (
                number(emulated.value, ",.4g"),
                number(emulated.deviation and 100 * emulated.deviation, "+.1f", " %"),
            )
        ]
        table.add_row(escape(each.name), f"{each.published:,.4g}", *cells)
    lines = [render(table), "", f"Deviations of more than {100 * _LARGE:.0f} %, and what shows their cause:"]
    for each in comparisons:
        if each.is_large:
            lines.append(f"- {each.name}: {each.cause or 'the study states no cause.'}")
            lines += [f"    {case}: {number(value, ',.4g')}" for case, value in each.experiments]
    lines += ["", "Sources:", *(f"- {each.name}: {each.source}" for each in comparisons)]
    return "\n".join(lines)
