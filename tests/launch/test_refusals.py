"""Bad input to the commands: one clear error each, an exit code, and nothing half-written."""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import yaml
from onnx import TensorProto, helper
from support.commands import ROOT, TINY, refusal, tiny

from emulator.errors import ConfigError
from launch.cli import main, save_policy


@pytest.mark.parametrize("name", ["inputs.npy", "chip.yaml"])
def test_a_full_disk_while_preparing_names_the_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save, write_text = np.save, Path.write_text

    def check(path: Path) -> Path:
        if path.name == name:
            raise OSError(28, "No space left on device")
        return path

    monkeypatch.setattr(np, "save", lambda path, values: save(check(path), values))
    monkeypatch.setattr(Path, "write_text", lambda path, text, **options: write_text(check(path), text, **options))
    said = refusal(["run", str(TINY), "-o", str(tmp_path / "run")], capsys, 2)
    assert f"{tmp_path / 'run' / name}: cannot be written: No space left on device" in said


def test_a_missing_run_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = refusal(["run", str(tmp_path / "no.yaml"), "-o", str(tmp_path / "out")], capsys, 2)
    assert "no.yaml: no such file" in message
    assert not (tmp_path / "out").exists()


def test_malformed_yaml_unknown_key_wrong_unit_negative_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("chip: [")
    assert "malformed YAML at line 1" in refusal(["map", str(broken)], capsys, 2)
    assert "speed: unknown key" in refusal(["map", str(tiny(tmp_path, speed=3))], capsys, 2)
    chip = yaml.safe_load((ROOT / "configs/chips/small16.yaml").read_text())
    chip["cluster"]["l1"] = "1 ns"
    chip["cluster"]["ima"]["rows"] = -1
    (tmp_path / "chip.yaml").write_text(yaml.safe_dump(chip))
    message = refusal(["map", str(tiny(tmp_path, chip="chip.yaml"))], capsys, 2)
    assert "cluster.l1: expected a size such as '1 MiB', got '1 ns'" in message
    assert "cluster.ima.rows: expected a number of at least 1, got -1" in message


def test_an_unsupported_onnx_operator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from onnx import save

    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 32, 32])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 32, 32])
    node = helper.make_node("Softmax", ["x"], ["y"], name="odd_one")
    model = helper.make_model(
        helper.make_graph([node], "g", [image], [result]), opset_imports=[helper.make_opsetid("", 17)]
    )
    model.ir_version = 8
    save(model, tmp_path / "odd.onnx")
    config = tiny(tmp_path, network={"kind": "onnx", "model": str(tmp_path / "odd.onnx")})
    message = refusal(["run", str(config), "-o", str(tmp_path / "out")], capsys, 3)
    assert "odd_one" in message
    assert "Softmax" in message
    assert "Conv" in message  # the list of what is supported


def test_a_wrong_image_size(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = str(ROOT / "configs/images")
    config = tiny(tmp_path, inputs={"path": images, "count": 2})
    assert "expected images of 32 x 32" in refusal(["run", str(config), "-o", str(tmp_path / "a")], capsys, 3)
    network = {"kind": "onnx", "model": str(run / "model.onnx")}
    config = tiny(tmp_path, inputs={"path": images, "count": 2}, network=network)
    message = refusal(["run", str(config), "-o", str(tmp_path / "b")], capsys, 3)
    assert "expected images of 32 x 32 with 3 channels" in message
    assert "256 x 256" in message


def test_a_network_larger_than_the_chip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = {"kind": "resnet18", "image_size": 32, "classes": 10, "seed": 1}
    message = refusal(["map", str(tiny(tmp_path, network=network))], capsys, 4)
    assert "clusters asked, 16 there" in message
    assert "what would help" in message


def test_an_l1_that_is_too_small(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chip = yaml.safe_load((ROOT / "configs/chips/small16.yaml").read_text())
    chip["cluster"]["l1"] = "1 KiB"
    (tmp_path / "chip.yaml").write_text(yaml.safe_dump(chip))
    message = refusal(["map", str(tiny(tmp_path, chip="chip.yaml"))], capsys, 4)
    assert "L1 of cluster 0:" in message
    assert "1,024 there" in message


def test_an_output_folder_that_exists_or_cannot_be_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "the output folder exists" in refusal(["run", str(TINY), "-o", str(tmp_path)], capsys, 2)
    (tmp_path / "file").touch()
    message = refusal(["run", str(TINY), "-o", str(tmp_path / "file/out")], capsys, 2)
    assert "cannot be made" in message


def test_truncated_foreign_and_missing_traces(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(run / "trace.h5", tmp_path / "trace.h5")
    os.truncate(tmp_path / "trace.h5", 5000)
    assert "not a readable HDF5 file" in refusal(["report", str(tmp_path)], capsys, 8)
    assert "not a readable HDF5 file" in refusal(["digest", str(TINY)], capsys, 8)
    assert "no such file" in refusal(["verify", str(tmp_path / "none")], capsys, 8)


def test_a_compiler_that_is_switched_off(tmp_path: Path) -> None:
    out, environment = tmp_path / "out", os.environ | {"NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-m", "launch.cli", "run", str(TINY), "-n", "2", "-o", str(out)]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False, timeout=120, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("aimc: error") == 1
    assert "NUMBA_DISABLE_JIT is set" in done.stderr
    assert "Traceback" not in done.stderr
    assert not out.exists()


@contextmanager
def files_of_at_most(n_bytes: int) -> Iterator[None]:
    """Let files grow no further, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize(
    ("command", "option", "n_bytes", "code"),
    [
        ("report", "--html", 1_000_000, 8),
        ("export", "--perfetto", 10_000, 8),
        ("export", "--chrome", 10_000, 8),
    ],
)
def test_a_full_disk_leaves_what_was_there(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, option: str, n_bytes: int, code: int
) -> None:  # fmt: skip
    assert main(["report", str(run)]) == 0  # draws the timeline beside the trace
    capsys.readouterr()
    target = tmp_path / "target"
    target.write_text("before")
    with files_of_at_most(n_bytes):
        message = refusal([command, str(run), option, str(target)], capsys, code)
    assert f"{target}: " in message
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]


def test_a_full_disk_leaves_no_half_of_a_mapping(tmp_path: Path) -> None:
    with files_of_at_most(100), pytest.raises(ConfigError, match=r"--save .*mine\.yaml: cannot be written"):
        save_policy("x" * 200, tmp_path / "mine.yaml")
    assert list(tmp_path.iterdir()) == []


def test_devices_are_written_to_as_they_stand(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(run), "--chrome", os.devnull]) == 0
    assert Path(os.devnull).is_char_device()
    capsys.readouterr()


def test_more_ranks_than_clusters(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "launch.cli", "run", str(TINY), "-n", "17", "-o", str(tmp_path / "out")]
    done = subprocess.run(command, check=False, timeout=120, capture_output=True, text=True)
    assert done.returncode == 7
    assert done.stderr.count("aimc: error") == 1
    assert "17 ranks were started, but the mapping uses only 15 clusters" in done.stderr
    assert not (tmp_path / "out").exists()
