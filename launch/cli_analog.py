"""The commands of analog crossbars: ``aimc accuracy`` and ``aimc program``."""

import argparse
import sys
from pathlib import Path

from launch.arguments import Commands, add_command, add_ranks_argument, positive, seed
from launch.local import start_ranks

_ACCURACY_TEXT = """Classify a run file's images on its chip's analog crossbars: after programming, at ages up to a year
with and without drift compensation, over ADC bits and over crossbar sizes, against the float and the int8 network.

The run file must name inputs.labels. Cases and seeds are shared out over ranks; results do not depend on their number.
DIR gets accuracy.json and accuracy.png."""

_ACCURACY_EXAMPLES = """examples:
  aimc accuracy configs/runs/digits.yaml -n 2               a table, into runs/digits-accuracy
  aimc accuracy configs/runs/digits.yaml --seeds 20         narrower intervals
  aimc accuracy configs/runs/digits.yaml --json | jq '.points[] | {group, label, mean}'
  aimc accuracy configs/runs/digits.yaml --adc-bits 4 6 8 --sizes 128 256
"""

_PROGRAM_TEXT = """Program a run's analog devices once and keep them in a file.

Name the file under 'devices' in run files, and those runs use the very same devices."""

_PROGRAM_EXAMPLES = """examples:
  aimc program configs/runs/digits.yaml -o devices.npz
  aimc program configs/runs/digits.yaml -o other.npz --seed 7    another chip of the same kind
"""


def add_accuracy(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Add ``aimc accuracy``."""
    about = "measure what analog crossbars leave of a network's accuracy"
    accuracy = add_command(commands, common, "accuracy", about, _ACCURACY_EXAMPLES, _ACCURACY_TEXT)
    accuracy.add_argument("config", type=Path, metavar="CONFIG", help="run file, such as configs/runs/digits.yaml")
    accuracy.add_argument("-o", "--output", type=Path, metavar="DIR", help="folder (default: runs/CONFIG-accuracy)")
    about_seeds = "seeds, from the run file's on (default: 5)"
    accuracy.add_argument("--seeds", type=positive, default=5, metavar="N", help=about_seeds)
    bits, sizes = (3, 4, 5, 6, 7, 8, 10, 12), (32, 64, 128, 256, 512)
    about_bits, about_sizes = "ADC widths (default: 3 to 12)", "rows and columns of crossbars (default: 32 to 512)"
    accuracy.add_argument("--adc-bits", type=positive, nargs="+", default=bits, metavar="BITS", help=about_bits)
    accuracy.add_argument("--sizes", type=positive, nargs="+", default=sizes, metavar="SIZE", help=about_sizes)
    accuracy.add_argument("--json", action="store_true", help="print JSON instead of a table")
    accuracy.add_argument("--progress", action="store_true", default=sys.stderr.isatty(), help=argparse.SUPPRESS)
    add_ranks_argument(accuracy)
    accuracy.set_defaults(command=_accuracy)


def add_program(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Add ``aimc program``."""
    about = "program a run's analog devices once and keep them in a file"
    program = add_command(commands, common, "program", about, _PROGRAM_EXAMPLES, _PROGRAM_TEXT)
    program.add_argument("config", type=Path, metavar="CONFIG", help="run file, such as configs/runs/digits.yaml")
    program.add_argument("-o", "--output", type=Path, metavar="FILE", required=True, help="new .npz file")
    program.add_argument("--seed", type=seed, help="replace the run file's seed")
    program.set_defaults(command=_program)


def _accuracy(options: argparse.Namespace) -> int:
    output = options.output or Path("runs") / f"{options.config.stem}-accuracy"
    if options.ranks > 1:
        arguments = ["accuracy", str(options.config), "-o", str(output), "--seeds", str(options.seeds)]
        arguments += ["--adc-bits", *map(str, options.adc_bits), "--sizes", *map(str, options.sizes)]
        arguments += [f"--{flag}" for flag in ("json", "progress", "debug") if getattr(options, flag)]
        return start_ranks(options.ranks, arguments, module="launch.cli")
    from launch.accuracy import AccuracyOptions, run_accuracy
    from launch.accuracy_cases import Sweeps
    from launch.rank import connect

    accuracy_options = AccuracyOptions(
        config=options.config,
        output=output,
        n_seeds=options.seeds,
        sweeps=Sweeps(tuple(options.adc_bits), tuple(options.sizes)),
        as_json=options.json,
        progress=options.progress,
        debug=options.debug,
    )
    return run_accuracy(connect(), accuracy_options)


def _program(options: argparse.Namespace) -> int:
    from emulator.config import load_run_config
    from launch.devices import save_devices
    from launch.prepare import map_only
    from launch.progress import preparing

    config = load_run_config(options.config)
    config.require_weights("there is nothing to program")
    with preparing("mapping and programming", shown=sys.stderr.isatty()) as on_candidate:
        plan, program = map_only(options.config, on_candidate)
        seed = config.seed if options.seed is None else options.seed
        n_crossbars = save_devices(options.output, plan.mapping, program, seed)
    print(f"{n_crossbars} crossbars programmed: {options.output}")
    return 0
