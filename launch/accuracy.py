"""``aimc accuracy``: how much accuracy is left on analog crossbars, case by case, shared out over ranks."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emulator.chip.load import load_chip
from emulator.config import load_run_config
from emulator.errors import ConfigError
from emulator.parallel.comm import Comm
from emulator.parallel.wire import pack, unpack
from launch.accuracy_cases import Case, Sweeps, make_cases
from launch.accuracy_plot import draw_accuracy
from launch.accuracy_table import Accuracy, accuracy_to_text, summarize
from launch.accuracy_workload import Evaluator, Prepared, Score, prepare
from launch.progress import case_progress, preparing
from launch.rank import ending_all_ranks, on_first_rank

RESULT_NAME = "accuracy.json"
PICTURE_NAME = "accuracy.png"


@dataclass(frozen=True, slots=True)
class AccuracyOptions:
    """What the command line says."""

    config: Path
    output: Path
    n_seeds: int
    sweeps: Sweeps
    as_json: bool
    progress: bool
    debug: bool


@dataclass(frozen=True, slots=True)
class _Job:
    """One case under one seed."""

    case_index: int
    seed: int


def run_accuracy(comm: Comm, options: AccuracyOptions) -> int:
    """Do this rank's share of an accuracy measurement and return its exit code."""
    with ending_all_ranks(comm, debug=options.debug):
        prepared, code = on_first_rank(comm, lambda: _prepare(options), debug=options.debug)
        if code == 0:
            _measure(comm, options, prepared)
            comm.barrier()
    return code


def _prepare(options: AccuracyOptions) -> Prepared:
    try:
        options.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{options.output}: the output folder cannot be made: {error.strerror}") from None
    config = load_run_config(options.config)
    cases = _cases(options)
    with preparing("mapping and calibrating", shown=options.progress):
        return prepare(config, cases)


def _cases(options: AccuracyOptions) -> list[Case]:
    config = load_run_config(options.config)
    return make_cases(load_chip(config.resolve(config.chip)), options.sweeps)


def _measure(comm: Comm, options: AccuracyOptions, prepared: Prepared | None) -> None:
    data = comm.broadcast_bytes(prepared.to_bytes() if prepared else None, 0)
    cases, first_seed = _cases(options), load_run_config(options.config).seed
    jobs = _jobs(cases, first_seed, options.n_seeds)
    evaluator = Evaluator(prepared or Prepared.from_bytes(data))
    mine = jobs[comm.rank :: comm.size]
    scores: list[Score] = []
    with case_progress(len(mine), shown=options.progress and comm.rank == 0) as on_done:
        for job in mine:
            scores.append(evaluator.evaluate(cases[job.case_index], job.seed))
            on_done(1)
    gathered = comm.gather_bytes(pack(scores), 0)
    if gathered is None or prepared is None:
        return
    by_case: list[list[Score]] = [[] for _ in cases]
    by_rank = [unpack(data) for data in gathered]
    for index, job in enumerate(jobs):
        by_case[job.case_index].append(Score(*by_rank[index % comm.size][index // comm.size]))
    _report(options, summarize(options.config.stem, cases, by_case, prepared, first_seed))


def _jobs(cases: Sequence[Case], first_seed: int, n_seeds: int) -> list[_Job]:
    """List all jobs, those that share programmed devices next to each other."""
    seeds = range(first_seed, first_seed + n_seeds)
    return [
        _Job(index, seed) for seed in seeds for index, case in enumerate(cases) if case.is_random or seed == first_seed
    ]


def _report(options: AccuracyOptions, accuracy: Accuracy) -> None:
    result: dict[str, Any] = accuracy.to_json()
    text = json.dumps(result, indent=2)
    (options.output / RESULT_NAME).write_text(text + "\n", encoding="utf-8")
    draw_accuracy(accuracy, options.output / PICTURE_NAME)
    if options.as_json:
        print(text)
        return
    print(accuracy_to_text(accuracy))
    print(f"\nResults: {options.output / RESULT_NAME}, picture: {options.output / PICTURE_NAME}")
