"""``aimc compare``: what changed between runs."""

import json
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from launch.progress import working
from launch.targets import keep_traces, whole
from traces.compare import compare_runs
from traces.compare_text import comparison_to_text
from traces.reader import TRACE_NAME, Trace


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """What the command line says about a comparison."""

    first: Path
    others: list[Path]
    as_json: bool
    html: Path | None
    figure: Path | None


def compare(options: CompareOptions) -> None:
    """Print what changed between runs, and write the page and the picture that were asked for.

    Raises:
        TraceError: a trace cannot be read, or a file cannot be written.
    """
    paths = [options.first, *options.others]
    with ExitStack() as opened, working("reading the traces and comparing their figures", shown=sys.stderr.isatty()):
        traces = [opened.enter_context(Trace(path)) for path in paths]
        keep_traces(traces, options.html, options.figure)
        comparison = compare_runs(traces, _labels(paths))
    if options.html:
        from traces.html.compare_page import write_comparison

        with whole(options.html) as partial:
            write_comparison(comparison, partial)
    if options.figure:
        from traces.plots.steps import draw_steps
        from traces.plots.style import save, styled

        with styled():
            save(draw_steps(comparison.labels, comparison.reports), options.figure)
    if options.as_json:
        print(json.dumps(comparison.to_json(), indent=2))
        return
    print(comparison_to_text(comparison), end="")
    for path in filter(None, (options.html, options.figure)):
        print(path)


def _labels(paths: list[Path]) -> list[str]:
    """Return the shortest ends of the runs' paths that tell them apart."""
    runs = [path.resolve() if path.is_dir() or path.name != TRACE_NAME else path.resolve().parent for path in paths]
    for n_parts in range(1, max(len(run.parts) for run in runs) + 1):
        labels = ["/".join(run.parts[-n_parts:]) for run in runs]
        if len(set(labels)) == len(set(runs)):
            return labels
    return [str(run) for run in runs]
