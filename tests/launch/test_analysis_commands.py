"""``aimc report``, ``export`` and ``compare`` where something is amiss, on the golden trace."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import commands

from launch.cli import main
from traces.analysis.chip import read_chip_text

ROOT = Path(__file__).parents[2]
CHIPS = ROOT / "configs/chips"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder with a finished trace."""
    folder = tmp_path / "run"
    folder.mkdir()
    shutil.copy(ROOT / "tests/traces/golden/tiny.h5", folder / "trace.h5")
    return folder


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run a command that must fail over its trace or output; returns the message."""
    return commands.refusal([str(each) for each in arguments], capsys, 8)


def test_a_page_that_cannot_be_made_is_refused_before_anything_is_drawn(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    assert "needs plotly" in refusal(capsys, "report", run, "--html", tmp_path / "page.html")
    assert not (run / "timeline.png").exists()


def test_the_trace_that_is_read_is_never_written_over(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = run / "trace.h5"
    before = trace.read_bytes()
    link = run / "link.h5"
    link.symlink_to(trace)
    for arguments in (
        ("export", run, "--chrome", trace), ("export", run, "--perfetto", link), ("report", run, "--html", trace),
        ("report", run, "--timeline", trace), ("compare", run, run, "--html", trace),
        ("compare", run, run, "--figure", link),
    ):  # fmt: skip
        assert "this is the trace that is read" in refusal(capsys, *arguments)
        assert trace.read_bytes() == before


def test_a_report_needs_no_room_beside_the_trace(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "timeline.png").symlink_to(run / "nowhere" / "timeline.png")  # cannot be written, whoever asks
    assert main(["report", str(run), "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["n_images"] == 4
    assert captured.err.startswith("aimc: no timeline beside the trace: ")
    assert "cannot be written" in refusal(capsys, "report", run, "--timeline", run / "timeline.png")


@pytest.mark.parametrize(
    ("window", "message"),
    [
        ("2s..", "nothing happens in it; the run lasts from 0 ms to 0.57"),
        ("", "expected a window"),
        ("3ms", "got '3ms'"),
    ],
)
def test_a_window_that_shows_nothing_is_refused(
    run: Path, capsys: pytest.CaptureFixture[str], window: str, message: str
) -> None:
    assert message in refusal(capsys, "export", run, "--chrome", run / "a.gz", "--window", window)
    assert not (run / "a.gz").exists()


def test_other_chips_cost_only_what_they_can(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(run), "--chip", str(CHIPS / "bruschi2023.yaml")]) == 0
    label = read_chip_text((CHIPS / "bruschi2023.yaml").read_text(), "here").label
    assert f"by the coefficients of {label}, a chip of 512 clusters" in capsys.readouterr().out
    assert main(["report", str(run), "--json", "--chip", str(CHIPS / "bruschi2023.yaml")]) == 0
    assert json.loads(capsys.readouterr().out)["costs_of"] == label
    message = refusal(capsys, "report", run, "--chip", CHIPS / "quadrants131072.yaml")
    assert "chip quadrants131072 (" in message
    assert "it has neither a section energy nor area" in message
    larger = tmp_path / "larger.yaml"
    larger.write_text((CHIPS / "small16.yaml").read_text().replace("rows: 256", "rows: 512"))
    own = read_chip_text((CHIPS / "small16.yaml").read_text(), "here").label
    assert f"cluster.ima.rows of 512, but the run's chip {own} has 256" in refusal(
        capsys, "report", run, "--chip", larger
    )


def test_traces_in_one_folder_are_told_apart_by_their_names(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(shutil.copy(run / "trace.h5", run / name)) for name in ("a.h5", "b.h5")]
    assert main(["compare", "--json", *files]) == 0
    assert [each["label"] for each in json.loads(capsys.readouterr().out)["runs"]] == ["a.h5", "b.h5"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
@pytest.mark.parametrize("command", ["report", "digest"])  # with more than fits a buffer, and with less
def test_a_full_disk_behind_the_output_is_one_clear_error(run: Path, command: str) -> None:
    script = f"import sys; from launch.cli import main; sys.exit(main([{command!r}, {str(run)!r}]))"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", script], check=False, timeout=60, stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 8
    assert done.stderr == "aimc: error: the output: cannot be read or written: No space left on device\n"
