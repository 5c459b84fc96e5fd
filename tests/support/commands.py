"""Commands on copies of the tiny run, for tests."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from launch.cli import main

ROOT = Path(__file__).parents[2]
TINY = ROOT / "configs/runs/tiny.yaml"


def tiny(folder: Path, **changes: Any) -> Path:
    """Write a copy of the tiny run file with absolute paths and some keys changed."""
    data = yaml.safe_load(TINY.read_text())
    for key in ("chip", "policy"):
        data[key] = str((TINY.parent / data[key]).resolve())
    data["inputs"]["path"] = str((TINY.parent / data["inputs"]["path"]).resolve())
    data.update(changes)
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def refusal(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int) -> str:
    """Run a command that must fail with ``code`` and one message; returns the message."""
    assert main(arguments) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("aimc: error: ")
    assert captured.err.count("aimc: error") == 1
    assert "Traceback" not in captured.err
    return captured.err
