"""The part of the command line that reads traces: ``aimc report``, ``export`` and ``compare``."""

import argparse
from pathlib import Path

from launch.arguments import Commands, add_command, take

_REPORT_EXAMPLES = """examples:
  aimc report runs/first                                what came out, as text; the timeline as a picture in runs/first
  aimc report runs/first --html first.html              an interactive page that needs no network
  aimc report runs/first --figures figures              every figure as PNG, at the size of a printed page
  aimc report runs/first --chip other.yaml              energy and area with another chip's coefficients
  aimc report runs/first --json | jq .loss_factors
"""

_EXPORT_EXAMPLES = """examples:
  aimc export runs/first --perfetto first.pftrace       then open it in ui.perfetto.dev
  aimc export runs/first --chrome first.json.gz --window 0.5ms..0.6ms
  aimc export runs/first --parquet first                then pandas.read_parquet("first/firings.parquet")
"""

_COMPARE_EXAMPLES = """examples:
  aimc compare runs/naive runs/replicated runs/resnet18-paper
  aimc compare runs/naive runs/resnet18-paper --html changes.html --figure steps.png
"""


def add_analysis_commands(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Add the commands that read traces."""
    report = add_command(commands, common, "report", "show what a finished run measured", _REPORT_EXAMPLES)
    add_trace_argument(report)
    report.add_argument("--json", action="store_true", dest="as_json", help="print JSON instead of text")
    report.add_argument("--html", type=Path, metavar="FILE", help="write an interactive report as one page")
    report.add_argument("--figures", type=Path, metavar="FOLDER", help="draw all figures into a folder, as PNG")
    report.add_argument("--chip", type=Path, metavar="YAML", help="take energy and area from this chip file instead")
    report.add_argument("--timeline", type=Path, metavar="PNG", help="where to draw the timeline (default: in DIR)")
    report.set_defaults(command=_report)

    export = add_command(commands, common, "export", "write a trace in the formats of other tools", _EXPORT_EXAMPLES)
    add_trace_argument(export)
    targets = export.add_mutually_exclusive_group(required=True)
    targets.add_argument("--perfetto", type=Path, metavar="FILE", help="a timeline for ui.perfetto.dev")
    targets.add_argument("--chrome", type=Path, metavar="FILE", help="a timeline for chrome://tracing, gzipped JSON")
    targets.add_argument("--parquet", type=Path, metavar="FOLDER", help="a Parquet file per table")
    targets.add_argument("--csv", type=Path, metavar="FOLDER", help="a CSV file per table")
    export.add_argument("--window", metavar="START..END", help="only this part of the emulated time (timelines)")
    export.set_defaults(command=_export)

    compare = add_command(commands, common, "compare", "show what changed between runs", _COMPARE_EXAMPLES)
    compare.add_argument("first", type=Path, metavar="DIR", help="the run that the others are compared with")
    compare.add_argument("others", type=Path, metavar="DIR", nargs="+", help="other runs")
    compare.add_argument("--json", action="store_true", dest="as_json", help="print JSON instead of text")
    compare.add_argument("--html", type=Path, metavar="FILE", help="write an interactive page")
    compare.add_argument("--figure", type=Path, metavar="PNG", help="draw the throughput of the runs side by side")
    compare.set_defaults(command=_compare)


def add_trace_argument(parser: argparse.ArgumentParser) -> None:
    """Add the trace that a command reads."""
    parser.add_argument("trace", type=Path, metavar="DIR", help="output folder of a run, or a trace file")


def _report(options: argparse.Namespace) -> int:
    from launch.report_command import ReportOptions, report_run

    report_run(take(ReportOptions, options))
    return 0


def _export(options: argparse.Namespace) -> int:
    from launch.export_command import ExportOptions, export_run

    export_run(take(ExportOptions, options))
    return 0


def _compare(options: argparse.Namespace) -> int:
    from launch.compare_command import CompareOptions, compare

    compare(take(CompareOptions, options))
    return 0
