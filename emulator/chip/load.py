"""Read a chip file."""

from pathlib import Path

from emulator.chip.spec import Chip
from emulator.config_file import load_model


def load_chip(path: Path | str) -> Chip:
    """Read and check a chip file.

    Raises:
        ConfigError: the file is missing, malformed or describes no chip; names every offending key.
    """
    return load_model(Path(path), Chip, "a chip")
