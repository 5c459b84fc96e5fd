"""What numba keeps of the timing engine is thrown away as soon as anything that is compiled into it changes."""

import ast
import importlib
import os
from pathlib import Path

import numba as nb
import pytest
from numba.core.dispatcher import Dispatcher
from support.records import MemorySink

from emulator.errors import ConfigError
from emulator.program.lower import no_tables
from emulator.timing import compiled
from emulator.timing.engine import TimingEngine

FOLDER = Path(compiled.__file__).parent


def compiled_functions() -> list[Dispatcher]:
    modules = [importlib.import_module(f"emulator.timing.{file.stem}") for file in sorted(FOLDER.glob("*.py"))]
    return [each for module in modules for each in vars(module).values() if isinstance(each, Dispatcher)]


def test_the_stamp_of_every_compiled_function_covers_all_files_of_the_folder() -> None:
    assert set(FOLDER.glob("*.py")) <= set(compiled.sources())
    functions = compiled_functions()
    assert len(functions) > 50
    for function in functions:
        assert function._cache._cache_file._source_stamp == compiled.stamp_of(compiled.sources()), function


def test_an_engine_that_is_not_compiled_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nb.config, "DISABLE_JIT", 1)
    with pytest.raises(ConfigError, match=r"NUMBA_DISABLE_JIT is set, .* unset it"):
        TimingEngine(no_tables(), 0, MemorySink())


def test_constants_and_fields_from_elsewhere_are_covered() -> None:
    for file in FOLDER.glob("*.py"):
        text = file.read_text()
        if "@compiled" not in text:
            continue
        imports = [node.module for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)]
        for name in imports:
            if name and name.split(".")[0] in {"emulator", "launch", "traces"}:
                assert Path(str(importlib.import_module(name).__file__)) in compiled.sources(), (file.name, name)


def test_a_change_that_keeps_time_and_size_counts(tmp_path: Path) -> None:
    stamps = set()
    for name, text in (("before", "LIMIT = 1\n"), ("after", "LIMIT = 2\n")):
        file = tmp_path / name / "constants.py"
        file.parent.mkdir()
        file.write_text(text)
        os.utime(file, (0, 0))
        stamps.add(compiled.stamp_of((file,)))
    assert len(stamps) == 2
