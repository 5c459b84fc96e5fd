"""Progress for people: on a terminal only."""

import pytest

from launch.progress import image_progress, preparing


def test_nothing_is_shown_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    with preparing("something", shown=False), image_progress(3, shown=False) as on_image:
        on_image(0)
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""


def test_images_are_counted_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with preparing("preparing it", shown=True):
        pass
    with image_progress(2, shown=True) as on_image:
        on_image(0)
        on_image(1)
    shown = capsys.readouterr().err
    assert "preparing it" in shown
    assert "2/2" in shown
