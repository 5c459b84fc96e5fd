"""Read a chip file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emulator.chip.spec import Chip
from emulator.config_file import load_model


def load_chip(path: Path | str) -> Chip:
    """Read and check a chip file.

    Raises:
        ConfigError: the file is missing, malformed or describes no chip; names every offending key.
    """
    return read_chip(path, {})


def read_chip(path: Path | str, overrides: Mapping[str, Any]) -> Chip:
    """Read and check a chip file with some of its values replaced, by dotted key such as ``hbm.width``.

    Raises:
        ConfigError: as ``load_chip``; or an override names a key that the file does not have.
    """
    return load_model(Path(path), Chip, "a chip", overrides)
