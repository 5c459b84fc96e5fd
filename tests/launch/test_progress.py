"""Progress for people: on a terminal only."""

import subprocess
import sys

import pytest

from launch.progress import image_progress, preparing, working


def test_nothing_is_shown_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    with (
        preparing("something", shown=False) as on_candidate,
        working("on it", shown=False) as say,
        image_progress(3, shown=False) as on_image,
    ):
        on_candidate(1, 2, None)
        say("still on it")
        on_image(0)
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""


def test_images_are_counted_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with preparing("preparing it", shown=True):
        pass
    with preparing("mapping it", shown=True) as on_candidate:
        on_candidate(1, 2, None)
    with working("on it", shown=True):
        pass
    with image_progress(2, shown=True) as on_image:
        on_image(0)
        on_image(1)
    shown = capsys.readouterr().err
    assert "preparing it" in shown
    assert "searching a mapping, 1 of 2 candidates" in shown
    assert "on it" in shown
    assert "2/2" in shown


def test_commands_that_read_traces_do_not_load_what_emulates() -> None:
    script = "import sys, launch.report_command, launch.compare_command; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], check=True, timeout=60, capture_output=True, text=True)
    assert {"numba", "mpi4py", "onnx", "emulator.optimize"}.isdisjoint(done.stdout.split())
