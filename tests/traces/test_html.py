"""The interactive report: self-contained, complete, harmless names; and rendered, where there is a browser."""

import json
import re
import shutil
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from support.traces import header, write_trace

from traces.compare import compare_runs
from traces.errors import TraceError
from traces.html.compare_page import write_comparison
from traces.html.page import table, write_page
from traces.plots.data import FigureData, figure_data
from traces.reader import Trace

HEADINGS = (
    "Where the time went", "Timeline", "Losses against the peak", "Limits", "Area efficiency by layer group",
    "Energy by layer and component", "Floor plan", "Network", "HBM bandwidth", "Queues", "Tables",
)  # fmt: skip
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def page(golden: FigureData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("html") / "report.html"
    write_page(golden, path)
    return path


class _Outline(HTMLParser):
    """Collects headings, links to elsewhere and the text of cells."""

    def __init__(self) -> None:
        super().__init__()
        self.headings: list[str] = []
        self.links: list[str] = []
        self.cells: list[str] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        self.links += [value for name, value in attrs if name in ("src", "href") and value]

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "h2":
            self.headings.append(data)
        elif self._inside == "td":
            self.cells.append(data)


def outline(path: Path) -> _Outline:
    parser = _Outline()
    parser.feed(path.read_text(encoding="utf-8"))
    return parser


def test_the_page_has_every_chart_and_table_and_needs_no_network(golden: FigureData, page: Path) -> None:
    found = outline(page)
    assert tuple(found.headings) == HEADINGS
    assert found.links == []
    text = page.read_text(encoding="utf-8")
    assert text.count("Plotly.newPlot(") >= len(HEADINGS) - 1
    assert "plotly.js v" in text  # the library itself
    assert 'name="viewport"' in text
    for use in golden.timing.layers:
        assert use.name in found.cells
    assert f"{golden.timing.throughput.images_per_second:,.0f}" in text
    assert len(text) < 8e6


def test_names_cannot_become_markup() -> None:
    html = table(["<b>", "n"], [["<script>alert(1)</script>", ("a & b", "note")]])
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert '<td class="note">a &amp; b</td>' in html


def test_a_run_with_evil_names_makes_a_harmless_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evil = "</script><script>alert(1)</script>"
    changed = header()
    changed.attributes["name"] = evil
    changed.tables["layers"]["name"] = [evil, "add"]
    monkeypatch.setattr("support.traces.header", lambda _plane: changed)
    with Trace(write_trace(tmp_path)) as trace:
        write_page(figure_data(trace), tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in text
    assert "alert(1)" in text
    assert outline(tmp_path / "report.html").headings[:2] == ["Where the time went", "Timeline"]


def test_a_page_that_cannot_be_written_and_a_missing_library_are_clear_errors(
    golden: FigureData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TraceError, match="the page cannot be written"):
        write_page(golden, tmp_path / "nowhere" / "report.html")
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(TraceError, match=r"aimc-emulator\[html\]"):
        write_page(golden, tmp_path / "report.html")


def test_a_comparison_is_a_page_too(golden: FigureData, tmp_path: Path) -> None:
    comparison = compare_runs([golden.trace, golden.trace], ["one", "<two>"])
    write_comparison(comparison, tmp_path / "compare.html")
    found = outline(tmp_path / "compare.html")
    assert found.headings == ["What came out", "Where the time went", "What was asked for", "Layers"]
    assert found.links == []
    body = (tmp_path / "compare.html").read_text(encoding="utf-8").split("</head>")[1]
    assert "&lt;two&gt;" in body


#: Put into a page: tells the page around it how wide it became and how many charts it has drawn.
_INSIDE = """<script>setTimeout(() => parent.postMessage({
  width: document.documentElement.scrollWidth,
  charts: document.querySelectorAll(".js-plotly-plot .main-svg:first-child").length,
  widest: Math.max(...[...document.querySelectorAll(".js-plotly-plot")].map(e => e.getBoundingClientRect().right)),
}, "*"), 3000)</script></body>"""
_AROUND = """<!DOCTYPE html><title></title><script>
addEventListener("message", event => {{ document.title = JSON.stringify(event.data); }});
</script><iframe src="{page}" style="border: 0; width: {width}px; height: 900px"></iframe>"""


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_draws_every_chart_within_the_width_of_its_window(page: Path, tmp_path: Path, width: int) -> None:
    assert BROWSER is not None
    inside, around = tmp_path / "inside.html", tmp_path / "around.html"
    inside.write_text(page.read_text(encoding="utf-8").replace("</body>", _INSIDE), encoding="utf-8")
    around.write_text(_AROUND.format(page=inside.as_uri(), width=width), encoding="utf-8")
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1400,1000", "--virtual-time-budget=10000",
        "--dump-dom", around.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    title = re.search(r"<title>(.+)</title>", done.stdout)
    assert title, done.stderr[-2000:]
    found = json.loads(unescape(title.group(1)))
    assert found["width"] <= width
    assert found["widest"] <= width
    assert found["charts"] == len(HEADINGS) - 1
