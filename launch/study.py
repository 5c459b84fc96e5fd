"""Run a study: every case whole on one rank, several ranks side by side, nothing twice."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emulator.errors import ConfigError, EmulatorError
from emulator.parallel.comm import Comm
from emulator.parallel.wire import pack, unpack
from launch.progress import case_progress
from launch.rank import ending_all_ranks, on_first_rank
from launch.study_case import Networks, is_done, resolve_case, run_case, stored_report
from launch.study_file import Case, Study, load_study
from launch.study_plot import plot_sweep
from launch.study_published import compare, comparisons_to_json, comparisons_to_text
from launch.study_table import Row, make_rows, rows_to_json, rows_to_text
from traces.errors import TraceError
from traces.reader import TRACE_NAME

_DONE_TAG = 0


@dataclass(frozen=True, slots=True)
class StudyOptions:
    """What the command line says about a study; ``output`` is by default named after the study."""

    study: Path
    output: Path | None
    as_json: bool
    progress: bool
    debug: bool


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be done: all cases of the study, in order, and those of them that must run."""

    study: Study
    folder: Path
    cases: list[Case]
    todo: list[Case]


@dataclass(frozen=True, slots=True)
class _Share:
    """What every rank knows of it."""

    folder: Path
    todo: list[Case]


def run_study(comm: Comm, options: StudyOptions) -> int:
    """Do this rank's cases and return the exit code; rank 0 prints the results of all.

    Of the cases not yet done, rank r of n takes r, r + n, r + 2n and so on. Other ranks end with this one if it fails;
    the cases that are done by then stay done.
    """
    with ending_all_ranks(comm, debug=options.debug):
        plan, code = on_first_rank(comm, lambda: _plan(options), debug=options.debug)
        if code == 0:
            _run_cases(comm, options, _share(comm, plan))
            if plan is not None:
                _print_results(options, plan)
            comm.barrier()  # nobody leaves before all is done: a launcher may end the job with its first rank
    return code


def _plan(options: StudyOptions) -> _Plan:
    """Check every case before the first one runs, and find those that are done."""
    study, cases = load_study(options.study)
    folder = options.output or Path("runs") / study.folder_name
    if (folder / TRACE_NAME).exists():
        raise ConfigError(
            f"{folder}: this is the folder of a run ({TRACE_NAME}), not of a study; choose another with -o"
        )
    todo = []
    for case in cases:
        try:
            resolved = resolve_case(case)
        except ConfigError as error:
            raise ConfigError(f"{options.study}: case '{case.name}': {error}") from None
        if not is_done(resolved, folder / case.folder_name):
            todo.append(case)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: the output folder cannot be made: {error.strerror}") from None
    return _Plan(study, folder, cases, todo)


def _share(comm: Comm, plan: _Plan | None) -> _Share:
    """Tell every rank what is to be done; only rank 0 passes a plan."""
    data = None
    if plan is not None:
        data = pack({"folder": str(plan.folder), "todo": [case.model_dump_json() for case in plan.todo]})
    received = unpack(comm.broadcast_bytes(data, 0))
    todo = [Case.model_validate_json(text) for text in received["todo"]]
    return _Share(Path(received["folder"]), todo)


def _run_cases(comm: Comm, options: StudyOptions, plan: _Share) -> None:
    elsewhere = [index % comm.size for index in range(len(plan.todo)) if index % comm.size] if comm.rank == 0 else []
    notes = [np.empty(1, np.int64) for _ in elsewhere]
    pending = [comm.irecv(note, source, _DONE_TAG) for note, source in zip(notes, elsewhere, strict=True)]
    with (
        case_progress(len(plan.todo), shown=options.progress and comm.rank == 0) as on_done,
        Networks() as networks,
    ):

        def all_heard_of() -> bool:
            still = [request for request in pending if not request.test()]
            if len(still) < len(pending):
                on_done(len(pending) - len(still))
                pending[:] = still
            return not pending

        for index in range(comm.rank, len(plan.todo), comm.size):
            _run_one(plan.todo[index], plan.folder, networks)
            if comm.rank == 0:
                on_done(1)
                all_heard_of()
            else:
                comm.wait(comm.isend(np.array([index], np.int64), 0, _DONE_TAG))
        comm.wait_until(all_heard_of)


def _run_one(case: Case, folder: Path, networks: Networks) -> None:
    """Run a case; an error says which one it was."""
    try:
        run_case(resolve_case(case), folder / case.folder_name, networks)
    except (EmulatorError, TraceError) as error:
        raise type(error)(f"case '{case.name}': {error}") from error
    except OSError as error:
        raise TraceError(f"case '{case.name}': {folder / case.folder_name} cannot be written: {error}") from error


def _print_results(options: StudyOptions, plan: _Plan) -> None:
    reports = _reports(plan)
    rows, comparisons = make_rows(plan.cases, reports), compare(plan.study, reports)
    pictures = _draw(plan, rows)
    if options.as_json:
        print(
            json.dumps({"cases": rows_to_json(rows), "published": comparisons_to_json(comparisons)}, indent=2),
            flush=True,
        )
        return
    print(rows_to_text(rows))
    if comparisons:
        print(comparisons_to_text(comparisons))
    for picture in pictures:
        print(f"Picture: {picture}")
    n_before = len(plan.cases) - len(plan.todo)
    print(f"{len(plan.todo)} cases run, {n_before} done before: {plan.folder}", flush=True)


def _draw(plan: _Plan, rows: list[Row]) -> list[Path]:
    """Draw the sweeps over numbers and return the pictures."""
    by_name = {row.case: row for row in rows}
    pictures = []
    for sweep in plan.study.sweeps:
        picture = plan.folder / f"{sweep.folder_name}.png"
        try:
            if plot_sweep(sweep, [by_name[case.name] for case in sweep.cases()], picture):
                pictures.append(picture)
        except OSError as error:
            raise TraceError(f"{picture}: the picture cannot be written: {error.strerror}") from None
    return pictures


def _reports(plan: _Plan) -> dict[str, dict[str, Any]]:
    reports = {}
    for case in plan.cases:
        report = stored_report(plan.folder / case.folder_name)
        if report is None:
            raise TraceError(
                f"{plan.folder / case.folder_name}: the report of case '{case.name}' cannot be read; all ranks must "
                "share the output folder's file system"
            )
        reports[case.name] = report
    return reports
