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
    """

    name: str
    run: Path
    chip: Overrides = Field(default_factory=dict)
    policy: Overrides = Field(default_factory=dict)
    count: Count | None = None

    @property
    def folder_name(self) -> str:
        """The case's name with whatever is awkward in a path turned into dashes."""
        return re.sub(r"[^\w@.+=-]+", "-", self.name).strip("-.") or "case"


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

    @field_validator("vary")
    @classmethod
    def _names_a_file(cls, vary: str) -> str:
        file, _, key = vary.partition(".")
        if file not in _VARIED or not key:
            raise ValueError(f"expected 'chip.' or 'policy.' and a key, such as chip.hbm.width, got '{vary}'")
        return vary

    def cases(self) -> list[Case]:
        """Return the sweep's cases, in the order of its values."""
        file, _, key = self.vary.partition(".")
        shared = self.model_dump(include={"run", "chip", "policy", "count"})
        return [
            Case(**{**shared, "name": f"{self.name}@{_say(value)}", file: {**shared[file], key: value}})
            for value in self.values
        ]


class Study(Spec):
    """A study file. Paths in it are relative to the file."""

    name: str
    cases: tuple[Case, ...] = ()
    sweeps: tuple[Sweep, ...] = ()

    @property
    def folder_name(self) -> str:
        """The study's name as a folder."""
        return Case(name=self.name, run=Path()).folder_name


def load_study(path: Path | str) -> tuple[Study, list[Case]]:
    """Read and check a study file.

    Returns:
        The study, and its cases with those of its sweeps, in order; their ``run`` can be opened from here.

    Raises:
        ConfigError: the file is missing, malformed or no study, it has no cases, or two of them would share a folder.
    """
    path = Path(path)
    study = load_model(path, Study, "a study (name, cases, sweeps)")
    cases = [*study.cases, *(case for sweep in study.sweeps for case in sweep.cases())]
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
    return study, [case.model_copy(update={"run": path.parent / case.run}) for case in cases]


def _say(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
