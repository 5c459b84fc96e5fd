"""``aimc report``: what a finished run measured, as text, JSON, pictures or one interactive page."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from launch.progress import working
from launch.targets import keep_traces, whole
from traces.analysis.chip import ChipFacts, read_chip_text
from traces.analysis.records import order_records
from traces.errors import TraceError
from traces.plots.data import FigureData, with_report
from traces.reader import Trace
from traces.report import make_report
from traces.report_text import report_to_text


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """What the command line says about a report."""

    trace: Path
    as_json: bool
    timeline: Path | None
    figures: Path | None
    html: Path | None
    chip: Path | None


def report_run(options: ReportOptions) -> None:
    """Print the report of a run and write the pictures and the page that were asked for.

    Raises:
        ConfigError: ``options.chip`` is no chip file.
        TraceError: the trace cannot be read, or a picture or the page cannot be written.
    """
    if options.html:
        from traces.html.page import plotly_script

        plotly_script()  # what cannot be written shall be said before anything is drawn
    costs = read_costs(options.chip) if options.chip else None
    with (
        Trace(options.trace) as trace,
        working("reading the trace and working out its figures", shown=sys.stderr.isatty()),
    ):
        keep_traces([trace], options.html, options.timeline)
        if not trace.has_timing and (options.figures or options.html or options.timeline):
            raise TraceError(f"{trace.path}: the run had no timing plane, so there are no figures to draw")
        records = order_records(trace) if trace.has_timing else None
        report = make_report(trace, costs=costs, records=records)
        written = _draw(with_report(trace, records, report), options) if records else []
    if options.as_json:
        print(json.dumps(report.to_json(), indent=2))
        return
    print(report_to_text(report), end="")
    for path in written:
        print(path)


def read_costs(path: Path) -> ChipFacts:
    """Read the chip file whose coefficients replace those of a run's chip.

    Raises:
        ConfigError: it is no chip file.
    """
    from emulator.chip.load import load_chip

    load_chip(path)  # says everything that is wrong with it, key by key
    return read_chip_text(path.read_text(encoding="utf-8"), str(path))


def _draw(data: FigureData, options: ReportOptions) -> list[Path]:
    """Draw the timeline beside the trace unless it is there, and what was asked for; return what was written.

    Raises:
        TraceError: something that was asked for cannot be written.
    """
    written = []
    timeline = options.timeline or data.trace.path.with_name("timeline.png")
    if options.timeline or not timeline.exists():
        from traces.plots.figures import draw_figure

        try:
            draw_figure(data, "timeline", timeline)
        except TraceError as error:
            if options.timeline:
                raise
            print(f"aimc: no timeline beside the trace: {error}", file=sys.stderr)  # the figures are still of use
    if timeline.exists():
        written.append(timeline)
    if options.figures:
        from traces.plots.figures import draw_figures

        written += draw_figures(data, options.figures)
    if options.html:
        from traces.html.page import write_page

        with whole(options.html) as partial:
            write_page(data, partial)
        written.append(options.html)
    return written
