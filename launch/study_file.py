"""The study file: which runs make up a study, and what each changes in its run's chip, policy and inputs."""

import json
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator

from emulator.config import Count
from emulator.config_file import Spec, load_model
from emulator.errors import ConfigError

Overrides = dict[str, Any]

#: Before the name of a figure that the chip file publishes.
OF_CHIP = "chip."

#: The files whose keys a sweep may vary.
_VARIED = ("chip", "policy")


class Case(Spec):
    """One run of a study.

    Attributes:
        name: of the case, and of its folder (see ``folder_name``).
        run: the run file; relative to the study file there, and to the working directory after ``load_study``.
        chip: values that replace the chip file's, by dotted key such as ``hbm.width`` or ``topology.levels.0.width``.
        policy: the same for the policy file.
        count: how many images to use instead of the run file's number.
        relative_to: name of the case against which its throughput is shown, by default the study's first.
    """

    name: str
    run: Path
    chip: Overrides = Field(default_factory=dict)
    policy: Overrides = Field(default_factory=dict)
    count: Count | None = None
    relative_to: str | None = None

    @property
    def folder_name(self) -> str:
        """The case's name with whatever is awkward in a path turned into dashes."""
        return to_folder_name(self.name)


def to_folder_name(name: str) -> str:
    """Turn whatever is awkward in a path into dashes."""
    return re.sub(r"[^\w@.+=-]+", "-", name).strip("-.") or "case"


class Sweep(Spec):
    """One case per value of one key; otherwise as a ``Case``.

    Attributes:
        vary: ``chip.`` or ``policy.`` and a dotted key of that file.
        values: what the key is given, one case each, named ``NAME@VALUE``.
    """

    name: str
    run: Path
    vary: str
    values: Annotated[tuple[Any, ...], Field(min_length=1)]
    chip: Overrides = Field(default_factory=dict)
    policy: Overrides = Field(default_factory=dict)
    count: Count | None = None
    relative_to: str | None = None

    @field_validator("vary")
    @classmethod
    def _names_a_file(cls, vary: str) -> str:
        file, _, key = vary.partition(".")
        if file not in _VARIED or not key:
            raise ValueError(f"expected 'chip.' or 'policy.' and a key, such as chip.hbm.width, got '{vary}'")
        return vary

    @property
    def folder_name(self) -> str:
        """The sweep's name as that of a file or folder."""
        return to_folder_name(self.name)

    def cases(self) -> list[Case]:
        """Return the sweep's cases, in the order of its values."""
        file, _, key = self.vary.partition(".")
        shared = self.model_dump(include={"run", "chip", "policy", "count", "relative_to"})
        return [
            Case(**{**shared, "name": f"{self.name}@{_say(value)}", file: {**shared[file], key: value}})
            for value in self.values
        ]


class Variant(Spec):
    """Another reading of the chip: every case under ``cases`` is run with these changes, too, as ``NAME, VARIANT``."""

    name: str
    chip: Overrides

    def case_of(self, case: Case) -> Case:
        """Return a case with the changes of this variant; its own win."""
        return case.model_copy(
            update={
                "name": variant_name(case.name, self.name),
                "chip": {**self.chip, **case.chip},
                "relative_to": case.relative_to and variant_name(case.relative_to, self.name),
            }
        )


def variant_name(case: str, variant: str | None) -> str:
    """Return what a case is called in a variant; None is the chip as it stands in its file."""
    return case if variant is None else f"{case}, {variant}"


class Published(Spec):
    """A published figure beside which the study's own is shown.

    Attributes:
        name: what it is called in the table.
        figure: dotted key of a case's report.json, such as ``images_per_second``.
        case: the case under ``cases`` that it is about.
        over: the case whose figure divides, for a ratio.
        times: factor from the report's unit to the published one.
        value: as published; ``chip.FIGURE`` stands for what the chip file of ``case`` publishes as that figure.
        source: where, and whether it is stated or derived there.
        cause: why the emulated figure is another one, in a sentence that ``shown_by`` bears out.
        shown_by: cases (or sweeps) that show it.
    """

    name: str
    figure: str
    case: str
    over: str | None = None
    times: float = 1.0
    value: float | str
    source: str
    cause: str | None = None
    shown_by: tuple[str, ...] = ()

    @field_validator("value", mode="before")
    @classmethod
    def _is_a_figure(cls, value: object) -> float | str:
        if isinstance(value, str) and value.removeprefix(OF_CHIP) not in ("", value):
            return value
        if isinstance(value, int | float) and value > 0:
            return float(value)
        raise ValueError(
            f"expected a number above 0, or 'chip.' and a figure that the chip file publishes, such as chip.tops; "
            f"got '{value}'"
        )


class Study(Spec):
    """A study file. Paths in it are relative to the file."""

    name: str
    cases: tuple[Case, ...] = ()
    sweeps: tuple[Sweep, ...] = ()
    variants: tuple[Variant, ...] = ()
    published: tuple[Published, ...] = ()

    @property
    def folder_name(self) -> str:
        """The study's name as a folder."""
        return to_folder_name(self.name)


def load_study(path: Path | str) -> tuple[Study, list[Case]]:
    """Read and check a study file.

    Returns:
        The study, and its cases with those of its sweeps, in order; their ``run`` can be opened from here.

    Raises:
        ConfigError: the file is missing, malformed or no study, it has no cases, or two of them would share a folder.
    """
    path = Path(path)
    study = load_model(path, Study, "a study (name, cases, sweeps)")
    cases = [
        *study.cases,
        *(variant.case_of(case) for variant in study.variants for case in study.cases),
        *(case for sweep in study.sweeps for case in sweep.cases()),
    ]
    if not cases:
        raise ConfigError(f"{path}: the study has no cases; give it some under 'cases' or 'sweeps'")
    named: dict[str, Case] = {}
    for case in cases:
        other = named.setdefault(case.folder_name, case)
        if other is not case:
            raise ConfigError(
                f"{path}: cases '{other.name}' and '{case.name}' would share the folder {case.folder_name}; "
                "give every case a name of its own"
            )
    _check_names(path, study, {case.name for case in cases})
    return study, [case.model_copy(update={"run": path.parent / case.run}) for case in cases]


def _check_names(path: Path, study: Study, known: set[str]) -> None:
    """Check that cases which others refer to exist.

    Raises:
        ConfigError: one does not; names it and the cases there are.
    """
    own = {case.name for case in study.cases}
    sweeps = {sweep.name for sweep in study.sweeps}
    wanted = [(f"{case.name}: relative_to", case.relative_to, known) for case in study.cases]
    wanted += [(f"{sweep.name}: relative_to", sweep.relative_to, known) for sweep in study.sweeps]
    for each in study.published:
        wanted += [(f"published: {each.name}: case", each.case, own), (f"published: {each.name}: over", each.over, own)]
        wanted += [(f"published: {each.name}: shown_by", name, known | sweeps) for name in each.shown_by]
    for where, name, names in wanted:
        if name is not None and name not in names:
            raise ConfigError(f"{path}: {where}: no case '{name}'; there are {', '.join(sorted(names))}")


def _say(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
