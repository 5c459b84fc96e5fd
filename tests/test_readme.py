"""What the README tells people to type works."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from emulator.config import RunConfig
from launch.cli import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_commands_and_the_python_example_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = re.findall(r"^    aimc (.*)$", README, re.MULTILINE)
    names = [command.split()[0] for command in commands]
    assert names == ["run", "verify", "report", "run", "report", "compare", "export"]
    monkeypatch.chdir(tmp_path)
    for command in commands:
        arguments = shlex.split(command)
        arguments = [str(ROOT / "configs/runs/tiny.yaml") if a.startswith("configs/runs") else a for a in arguments]
        assert main(arguments) == 0
    capsys.readouterr()
    for example in blocks("python"):
        exec(compile(example, "README.md", "exec"), {})  # noqa: S102 (our own text)
    rate, firings, cause, token, share = capsys.readouterr().out.splitlines()
    assert float(rate) > 1000
    assert "firings, the last ends at" in firings
    assert re.fullmatch(r"[A-Z]+ is the most frequent cause of a wait", cause)
    assert float(token.split()[3]) > 0
    assert 0 < float(share.split()[-1]) <= 1


def test_the_run_file_of_the_readme_is_valid() -> None:
    (example,) = blocks("yaml")
    config = RunConfig.model_validate(yaml.safe_load(example))
    assert config.network.kind == "onnx"


def test_files_that_the_readme_names_exist() -> None:
    for name in re.findall(r"`((?:configs|traces|launch|emulator)/[\w./-]+)`", README):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"\]\(([\w./-]+)\)", README):
        assert (ROOT / name).exists(), name
