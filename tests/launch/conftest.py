"""What tests of the commands share."""

from pathlib import Path

import pytest
from support.commands import TINY

from launch.cli import main


@pytest.fixture(scope="package")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the tiny network on one rank."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    assert main(["run", str(TINY), "-o", str(folder)]) == 0
    return folder
