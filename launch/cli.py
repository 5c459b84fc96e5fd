"""The command line: ``aimc run``, ``study``, ``accuracy``, ``report``, ``export``, ``compare``, ``verify`` and more."""

import argparse
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from emulator.errors import ConfigError, EmulatorError
from launch.analysis_commands import add_analysis_commands, add_trace_argument
from launch.arguments import add_command, add_ranks_argument, seed
from launch.cli_analog import add_accuracy, add_program
from launch.local import single_threaded, start_ranks
from traces.errors import TraceError

Command = Callable[[argparse.Namespace], int]

_EXAMPLES = """examples:
  aimc run configs/runs/resnet18-naive.yaml -n 2 -o runs/first    emulate on two ranks
  aimc report runs/first                                          what came out, as text and a picture
  aimc report runs/first --json | jq .images_per_second
  aimc report runs/first --html first.html --figures first        an interactive page, and all pictures
  aimc compare runs/first runs/second                             what changed between runs
  aimc verify runs/first                                          compare the values with onnxruntime
  aimc map configs/runs/resnet18-naive.yaml                       the mapping alone
  aimc study configs/studies/tiny.yaml -n 2 -o runs/tiny          many runs; again: only what has changed
  aimc accuracy configs/runs/digits.yaml -n 2                     accuracy on analog crossbars
"""

_RUN_EXAMPLES = """examples:
  aimc run configs/runs/tiny.yaml                                           on one rank, into runs/tiny-001
  aimc run configs/runs/resnet18-naive.yaml -n 2 -o runs/first              on two ranks
  aimc run configs/runs/resnet18-paper.yaml --plane timing -o runs/resnet18-paper
                                                                            times without values
  aimc run configs/runs/decoder7b.yaml --plane timing --split-timing -n 2   a network of shapes without weights
"""

_DIGEST_EXAMPLES = """examples:
  aimc digest runs/first    the digest, if it is the one that the trace states; else exit code 8
"""

_VERIFY_EXAMPLES = """examples:
  aimc verify runs/first    exit code 0 if all outputs are equal, 1 if not
"""

_MAP_EXAMPLES = """examples:
  aimc map configs/runs/resnet18-naive.yaml                                    layers, crossbars, clusters
  aimc map configs/runs/resnet18-paper.yaml --explain                          copies, expected bottleneck, bound
  aimc map configs/runs/resnet18-optimized.yaml --explain --save found.yaml    search once; found.yaml is a policy
"""

_STUDY_TEXT = """Run the timing plane of every case of a study file.

Cases that are done and have not changed since are not run again, so an interrupted study goes on where it stopped.
Every case leaves its trace and a report.json in DIR/CASE; results do not depend on the number of ranks."""

_STUDY_EXAMPLES = """a study file:
  name: paper
  cases:                                      # each needs a name and a run file, relative to the study file
    - {name: naive, run: ../runs/resnet18-naive.yaml}
    - name: slow memory
      run: ../runs/resnet18-naive.yaml
      chip: {hbm.width: 16 B/cycle, topology.levels.0.width: 32 B/cycle}    # keys of the chip file to replace
      policy: {tile_width: 2}                                               # keys of the policy file to replace
      count: 4                                                              # images, or tokens
  sweeps:                                     # one case per value, named NAME@VALUE
    - name: sync
      run: ../runs/resnet18-naive.yaml
      vary: chip.cluster.synchronization
      values: [0 cycles, 100 cycles, 400 cycles]

examples:
  aimc study configs/studies/tiny.yaml -n 2   into runs/tiny
  aimc study configs/studies/tiny.yaml --json | jq '.cases[] | {case, relative}'
  aimc report runs/tiny/sync@400-cycles       any case is a run of its own
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; an error is printed once, without a traceback unless asked for."""
    os.environ.update(single_threaded(dict(os.environ)))  # before numpy is imported
    options = _parser().parse_args(arguments)
    command: Command = options.command
    try:
        code = command(options)
        sys.stdout.flush()  # a full disk behind it shows here, not when the interpreter ends
    except (EmulatorError, TraceError) as error:
        if options.debug:
            traceback.print_exc()
        print(f"aimc: error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("aimc: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        if options.debug:
            traceback.print_exc()
        where, reason = error.filename or "the output", error.strerror or error
        print(f"aimc: error: {where}: cannot be read or written: {reason}", file=sys.stderr)
        if error.filename is None:  # what is still to be printed would fail again
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return TraceError.exit_code
    return code


def rank_main(arguments: Sequence[str] | None = None) -> int:
    """Run one rank of ``python -m emulator``."""
    parser = argparse.ArgumentParser(prog="python -m emulator", description="Run one rank of an emulation.")
    _add_run_arguments(parser)
    parser.set_defaults(debug=False)
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    return _run_here(parser.parse_args(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="aimc",
        description="Emulate massively parallel analog in-memory computing chips.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show tracebacks")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = add_command(commands, common, "run", "emulate a run file", _RUN_EXAMPLES)
    _add_run_arguments(run)
    add_ranks_argument(run)
    run.set_defaults(command=_run)

    about = "run the cases of a study file that are not done yet, and compare them"
    study = add_command(commands, common, "study", about, _STUDY_EXAMPLES, _STUDY_TEXT)
    study.add_argument("study", type=Path, metavar="STUDY", help="study file, such as configs/studies/tiny.yaml")
    study.add_argument("-o", "--output", type=Path, metavar="DIR", help="new or old folder (default: runs/NAME)")
    study.add_argument("--json", action="store_true", help="print JSON instead of a table")
    study.add_argument("--progress", action="store_true", default=sys.stderr.isatty(), help=argparse.SUPPRESS)
    add_ranks_argument(study)
    study.set_defaults(command=_study)

    add_accuracy(commands, common)
    add_program(commands, common)
    add_analysis_commands(commands, common)

    about = "work out a trace's digest anew and check it"
    digest = add_command(commands, common, "digest", about, _DIGEST_EXAMPLES)
    add_trace_argument(digest)
    digest.set_defaults(command=_digest)

    verify = add_command(commands, common, "verify", "compare a run's values with onnxruntime's", _VERIFY_EXAMPLES)
    add_trace_argument(verify)
    verify.set_defaults(command=_verify)

    mapping = add_command(commands, common, "map", "map a run file's network without running it", _MAP_EXAMPLES)
    mapping.add_argument("config", type=Path, metavar="CONFIG", help="run file, such as configs/runs/tiny.yaml")
    mapping.add_argument("--json", action="store_true", help="print JSON instead of text")
    mapping.add_argument("--explain", action="store_true", help="show what each layer got and the expected bottleneck")
    mapping.add_argument("--save", type=Path, metavar="YAML", help="write the mapping as a policy file")
    mapping.set_defaults(command=_map)
    return parser


def _add_run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", type=Path, metavar="CONFIG", help="run file, such as configs/runs/tiny.yaml")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="new folder (default: runs/CONFIG-NUMBER)")
    parser.add_argument(
        "--plane", choices=("both", "values", "timing"), default="both", help="what to emulate (default: both)"
    )
    about = "let every rank time its own clusters: for chips too large for one rank's memory; slower for small ones"
    parser.add_argument("--split-timing", action="store_true", help=about)
    parser.add_argument("--seed", type=seed, help="replace the run file's seed")
    parser.add_argument("--progress", action="store_true", default=sys.stderr.isatty(), help=argparse.SUPPRESS)


def _run(options: argparse.Namespace) -> int:
    options.output = options.output or _free_folder(options.config)
    if options.ranks == 1:
        return _run_here(options)
    arguments = [str(options.config), "-o", str(options.output), "--plane", options.plane]
    arguments += ["--seed", str(options.seed)] if options.seed is not None else []
    arguments += [f"--{flag}" for flag in ("progress", "debug") if getattr(options, flag)]
    arguments += ["--split-timing"] if options.split_timing else []
    return start_ranks(options.ranks, arguments)


def _free_folder(config: Path) -> Path:
    number = 1
    while (folder := Path("runs") / f"{config.stem}-{number:03d}").exists():
        number += 1
    return folder


def _run_here(options: argparse.Namespace) -> int:
    from emulator.emulation import Plane
    from launch.rank import RunOptions, connect, run_on_rank

    run_options = RunOptions(
        config=options.config,
        output=options.output or _free_folder(options.config),
        plane=Plane(options.plane),
        split_timing=options.split_timing,
        seed=options.seed,
        progress=options.progress,
        debug=options.debug,
    )
    return run_on_rank(connect(), run_options)


def _study(options: argparse.Namespace) -> int:
    if options.ranks > 1:
        arguments = ["study", str(options.study)]
        arguments += ["-o", str(options.output)] if options.output else []
        arguments += [f"--{flag}" for flag in ("json", "progress", "debug") if getattr(options, flag)]
        return start_ranks(options.ranks, arguments, module="launch.cli")
    from launch.rank import connect
    from launch.study import StudyOptions, run_study

    study_options = StudyOptions(
        study=options.study,
        output=options.output,
        as_json=options.json,
        progress=options.progress,
        debug=options.debug,
    )
    return run_study(connect(), study_options)


def _digest(options: argparse.Namespace) -> int:
    from traces.reader import Trace

    with Trace(options.trace) as trace:
        digest = trace.compute_digest()
        if digest != trace.attribute("digest"):
            raise TraceError(f"{trace.path}: the content has digest {digest}, but the trace says otherwise: damaged")
        print(digest)
    return 0


def _verify(options: argparse.Namespace) -> int:
    from launch.verify import verify_run

    verification = verify_run(options.trace)
    print(verification.to_text())
    return 0 if verification.exact else 1


def _map(options: argparse.Namespace) -> int:
    from launch.explain import explain, explanation_to_json, explanation_to_text
    from launch.mapping_table import mapping_to_json, mapping_to_text
    from launch.prepare import describe_search, map_only, mapping_text
    from launch.progress import preparing

    if options.save is not None:
        _check_save(options.save)
    with preparing("mapping", shown=sys.stderr.isatty()) as on_candidate:
        plan, program = map_only(options.config, on_candidate)
    if options.save is not None:
        save_policy(mapping_text(plan), options.save)
    explanation = explain(plan.mapping, program, plan.policy) if options.explain else None
    if options.json:
        extra = {"explanation": explanation_to_json(explanation)} if explanation else {}
        print(json.dumps(mapping_to_json(plan.mapping) | extra, indent=2))
    else:
        print(explanation_to_text(explanation) if explanation else mapping_to_text(plan.mapping))
        if plan.found is not None:
            print(describe_search(plan, plan.found))
    return 0


def _check_save(path: Path) -> None:
    """Say what is wrong with a target before a search of minutes, not after it."""
    if not path.parent.is_dir():
        raise ConfigError(f"--save {path}: there is no folder {path.parent}; make it first")
    if path.is_file():
        raise ConfigError(f"--save {path}: the file exists; choose another, or remove it")


def save_policy(text: str, path: Path) -> None:
    """Write a mapping as a policy file, as a whole or not at all.

    Raises:
        ConfigError: it cannot be written.
    """
    from launch.targets import whole

    try:
        with whole(path) as partial:
            partial.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--save {path}: cannot be written: {error.strerror}") from None


if __name__ == "__main__":
    raise SystemExit(main())
