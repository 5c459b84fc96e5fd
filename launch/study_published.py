"""Published figures beside emulated ones: how far apart they are, why, and what shows it."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.markup import escape

from emulator.errors import ConfigError
from launch.study_case import REPORT_NAME
from launch.study_file import OF_CHIP, Published, Study, variant_name
from launch.study_table import number
from launch.tables import new_table, render

#: A deviation beyond this share asks for a cause.
_LARGE = 0.10
_WIDTH = 118

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
        published: None if it stands in the chip file alone and the case does not fit the chip.
        experiments: the figure in the cases that ``cause`` rests on: name of a sweep or case, then its cases.
    """

    name: str
    published: float | None
    source: str
    emulated: tuple[Emulated, ...]
    cause: str | None
    experiments: tuple[tuple[str, tuple[tuple[str, float | None], ...]], ...]

    @property
    def is_large(self) -> bool:
        """Whether any reading is further from the published figure than is left without comment."""
        return any(each.deviation is None or abs(each.deviation) > _LARGE for each in self.emulated)


def compare(study: Study, reports: Reports) -> list[Comparison]:
    """Hold a study's results against the published figures that it names.

    Raises:
        ConfigError: reports know no such figure.
    """
    return [_compare(study, each, reports) for each in study.published]


def _compare(study: Study, published: Published, reports: Reports) -> Comparison:
    emulated, wanted = [], _value(published, reports[published.case])
    for variant in (None, *(each.name for each in study.variants)):
        over = published.over and variant_name(published.over, variant)
        value = _figure(published, variant_name(published.case, variant), over, reports)
        deviation = None if value is None or wanted is None else value / wanted - 1
        emulated.append(Emulated(variant, value, deviation))
    experiments = tuple(
        (name, tuple((case, _figure(published, case, published.over, reports)) for case in _cases_called(study, name)))
        for name in published.shown_by
    )
    return Comparison(published.name, wanted, published.source, tuple(emulated), published.cause, experiments)


def _value(published: Published, report: Mapping[str, Any]) -> float | None:
    """Return the published value, from the chip file if it stands there; None where that case does not fit.

    Raises:
        ConfigError: the chip file publishes no such figure for the case's network.
    """
    if not isinstance(published.value, str):
        return published.value
    if "infeasible" in report:
        return None
    name = published.value.removeprefix(OF_CHIP)
    figures = {each["figure"]: float(each["published"]) for each in report["published"]}
    if name not in figures:
        raise ConfigError(
            f"published: {published.name}: value: the chip of case '{published.case}' publishes no '{name}' for its "
            f"network; it publishes {', '.join(figures) or 'nothing'}"
        )
    return figures[name]


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
    if 0 in denominator:
        return None
    return published.times * numerator / (denominator[0] if denominator else 1)


def _look_up(report: Mapping[str, Any], figure: str) -> float | None:
    """Return a figure of a report; None where the report says that there is none.

    Raises:
        ConfigError: reports know no such figure.
    """
    if "infeasible" in report:
        return None
    found: Any = report
    for key in figure.split("."):
        if found is None:
            return None
        if not isinstance(found, Mapping) or key not in found:
            raise ConfigError(
                f"published: figure: '{figure}' is not in {REPORT_NAME}; names at '{key}': "
                f"{', '.join(found) if isinstance(found, Mapping) else 'none'}"
            )
        found = found[key]
    if found is None or isinstance(found, int | float):
        return found
    raise ConfigError(f"published: figure: '{figure}' of {REPORT_NAME} is no number")


def comparisons_to_json(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    """Return the comparisons as plain values; deviations as shares of the published figure."""
    return [
        {**asdict(each), "experiments": {case: value for _, cases in each.experiments for case, value in cases}}
        for each in comparisons
    ]


def comparisons_to_text(comparisons: Sequence[Comparison]) -> str:
    """Return the comparisons as a table, and below it the cause of every large deviation with what shows it."""
    table = new_table("Published and emulated")
    table.add_column("figure", overflow="fold")
    table.add_column("published", justify="right")
    for emulated in comparisons[0].emulated:
        for heading in (emulated.variant or "emulated", "deviation"):
            table.add_column(escape(heading), justify="right")
    for each in comparisons:
        cells = []
        for emulated in each.emulated:
            per_cent = None if emulated.deviation is None else 100 * emulated.deviation
            cells += [_number(emulated.value), number(per_cent, "+.1f", " %")]
        table.add_row(escape(each.name), _number(each.published), *cells)
    lines = [render(table), "", f"Deviations of more than {100 * _LARGE:.0f} %, and what shows their cause:"]
    for each in comparisons:
        if each.is_large:
            lines.append(_paragraph(f"- {each.name}: {each.cause or 'the study states no cause.'}", indent="  "))
            lines += [_paragraph(f"    {_experiment(*experiment)}", indent="      ") for experiment in each.experiments]
    by_source: dict[str, list[str]] = {}
    for each in comparisons:
        by_source.setdefault(each.source, []).append(each.name)
    lines += ["", "Where the published figures come from:"]
    lines += [_paragraph(f"- {source}: {'; '.join(names)}", indent="  ") for source, names in by_source.items()]
    return "\n".join(lines)


def _experiment(name: str, cases: Sequence[tuple[str, float | None]]) -> str:
    values = [f"{_number(value)} at {case.removeprefix(f'{name}@')}" for case, value in cases if case != name]
    return f"{name}: {', '.join(values) or _number(cases[0][1])}"


def _number(value: float | None) -> str:
    """Write a figure with four digits, or all those before the point."""
    return number(value, ",.4g" if value is None or abs(value) < 10_000 else ",.0f")


def _paragraph(text: str, indent: str) -> str:
    return textwrap.fill(text, _WIDTH, subsequent_indent=indent)
