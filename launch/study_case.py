"""One case of a study: what its files say once its changes are made, and running it whole on one rank."""

import hashlib
import json
import os
import time
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

import emulator
import traces
from emulator.chip.load import read_chip
from emulator.chip.spec import Chip
from emulator.config import OnnxConfig, RunConfig, load_run_config
from emulator.config_file import effective_text, read_yaml
from emulator.emulation import Plane
from emulator.errors import ConfigError, MappingError
from emulator.mapping.policy import Policy, read_policy
from emulator.network.inputs import SUFFIXES
from emulator.parallel.local_comm import SerialComm
from launch.explain import explain
from launch.prepare import CONFIG_NAMES, Prepared, make_workload
from launch.rank import rank_path, record_run
from launch.sources import MODEL_NAME, hash_file, hash_model, load_inputs, write_model
from launch.study_file import Case
from launch.targets import whole
from traces.reader import TRACE_NAME, Trace
from traces.report import make_report

REPORT_NAME = "report.json"

#: Of a case's report: where the hash of all that made it stands.
_KEY = "content_key"


@dataclass(frozen=True, slots=True)
class ResolvedCase:
    """A case with its changes made and everything checked.

    Attributes:
        texts: run, chip and policy file as if they held the changes, by the names of the trace's attributes.
        content_key: hash of all that the case's results depend on.
    """

    case: Case
    config: RunConfig
    chip: Chip
    policy: Policy
    texts: dict[str, str]
    content_key: str


def resolve_case(case: Case) -> ResolvedCase:
    """Read a case's files and make its changes.

    Raises:
        ConfigError: a file is missing or wrong, with or without the changes, or a change names an unknown key.
    """
    config = load_run_config(case.run)
    if case.count is not None:
        config = config.model_copy(update={"inputs": config.inputs.model_copy(update={"count": case.count})})
    chip_path, policy_path = config.resolve(config.chip), config.resolve(config.policy)
    chip, policy = read_chip(chip_path, case.chip), read_policy(policy_path, case.policy)
    texts = {
        "run_file": _run_text(case),
        "chip_file": effective_text(chip_path, "a chip", case.chip),
        "policy_file": effective_text(policy_path, "a mapping policy", case.policy),
    }
    made_of = [version("aimc-emulator"), _source_hash(), *texts.values(), *map(_content_hash, _data_paths(config))]
    key = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()
    return ResolvedCase(case, config, chip, policy, texts, key)


def _run_text(case: Case) -> str:
    """Return the run file's text with the case's count; the count need not stand in the file."""
    if case.count is None:
        return effective_text(case.run, "a run", {})
    data = read_yaml(case.run, "a run")
    assert isinstance(data, dict)  # it has been loaded as a run
    return effective_text(case.run, "a run", {"inputs": {**data["inputs"], "count": case.count}})


def _data_paths(config: RunConfig) -> list[Path]:
    """List the files and folders whose content a run depends on, beside its configuration."""
    paths = [config.inputs.path] if config.inputs.path else []
    if isinstance(config.network, OnnxConfig):
        paths += [config.network.model, *([config.network.calibration] if config.network.calibration else [])]
    return [config.resolve(path).resolve() for path in paths]


def _content_hash(path: Path) -> str:
    """Hash a file, or the pictures of a folder with their names, which decide on their order."""
    files = [path]
    try:
        if path.is_dir():
            files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
        stats = [file.stat() for file in files]
        hashes = [_hash_as_of(file, stat.st_mtime_ns, stat.st_size) for file, stat in zip(files, stats, strict=True)]
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    named = [[file.name, content] for file, content in zip(files, hashes, strict=True)]
    return hashlib.sha256(json.dumps(named).encode()).hexdigest()


@cache
def _source_hash() -> str:
    """Hash the sources that make a report: what another emulator or analysis has made is not done."""
    folders = [Path(package.__path__[0]) for package in (emulator, traces)]
    hashes = [
        [str(path.relative_to(folder.parent)), hash_file(path)]
        for folder in folders
        for path in sorted(folder.rglob("*.py"))
    ]
    return hashlib.sha256(json.dumps(hashes).encode()).hexdigest()


@cache
def _hash_as_of(path: Path, mtime_ns: int, size: int) -> str:  # noqa: ARG001 (they tell versions of a file apart)
    """Hash a file once, however many cases use it."""
    return hash_file(path)


def stored_report(folder: Path) -> dict[str, Any] | None:
    """Return the report that a case has left in its folder; None if there is none that can be read."""
    try:
        report = json.loads((folder / REPORT_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return report if isinstance(report, dict) else None


def is_done(resolved: ResolvedCase, folder: Path) -> bool:
    """Tell whether ``folder`` holds the report of this very case."""
    report = stored_report(folder)
    return report is not None and report.get(_KEY) == resolved.content_key


class Networks:
    """Quantised networks and images, each made once however many cases share them; use as a context manager."""

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="aimc-study-")
        self._made: dict[str, tuple[NDArray[np.uint8], Path]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:  # fmt: skip
        self._folder.cleanup()

    def get(self, config: RunConfig) -> tuple[NDArray[np.uint8], Path]:
        """Return the images of a run and where its quantised network is.

        Raises:
            EmulatorError: the images cannot be loaded or the network cannot be quantised.
        """
        network, inputs = config.network, config.inputs  # two run files may name the same paths differently
        spec = [network.model_dump_json(exclude={"model", "calibration"}), inputs.model_dump_json(exclude={"path"})]
        spec += map(str, _data_paths(config))
        key = hashlib.sha256(json.dumps(spec).encode()).hexdigest()
        if key not in self._made:
            images = load_inputs(config)
            model = Path(self._folder.name) / f"{key}-{MODEL_NAME}"
            write_model(config, images, model)
            self._made[key] = images, model
        return self._made[key]


def run_case(resolved: ResolvedCase, folder: Path, networks: Networks) -> None:
    """Run a case's timing plane on this rank alone and leave its trace and report in ``folder``.

    The report appears last and at once: a case without one is not done. Where the network does not fit the chip, the
    report says so in place of figures.

    Raises:
        EmulatorError: whatever else is wrong with the case's network or images.
        TraceError: the trace cannot be written.
        OSError: the folder cannot be written.
    """
    began = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    _clear(folder)
    for key, text in resolved.texts.items():
        (folder / CONFIG_NAMES[key]).write_text(text, encoding="utf-8")
    config = resolved.config
    images, model = networks.get(config)
    outcome: dict[str, Any]
    try:
        workload, text = make_workload(  # a search cut short would stay as the result of the whole
            config, resolved.chip, resolved.policy, images, model, lambda *_: None, ends_early=False
        )
    except MappingError as error:
        outcome = {"infeasible": str(error)}
    else:
        (folder / CONFIG_NAMES["mapping_file"]).write_text(text, encoding="utf-8")
        texts = resolved.texts | {"mapping_file": text}
        prepared = Prepared(config, workload, images, hash_model(model), texts)
        record_run(prepared, folder, comm=SerialComm(), plane=Plane.TIMING, on_image=lambda _: None, began=began)
        with Trace(folder) as trace:
            outcome = make_report(trace).to_json()
        explanation = explain(workload.mapping, workload.program, resolved.policy)
        outcome["bound_images_per_second"] = explanation.bound_images_per_second
    _write_json(folder / REPORT_NAME, {"case": resolved.case.name, _KEY: resolved.content_key, **outcome})


def _clear(folder: Path) -> None:
    """Remove what an earlier run of the case has left, its report first."""
    parts = (rank_path(folder, 0).name, TRACE_NAME + ".part")
    for name in (REPORT_NAME, TRACE_NAME, *parts, *CONFIG_NAMES.values(), "timeline.png"):
        (folder / name).unlink(missing_ok=True)


def _write_json(path: Path, data: dict[str, Any]) -> None:
    """Write a file that is either there as a whole or not at all."""
    with whole(path) as partial, partial.open("w", encoding="utf-8") as file:
        json.dump(data, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
