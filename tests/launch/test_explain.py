"""What ``aimc map --explain`` says, against what the timing plane measures."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from emulator.mapping.policy import load_policy
from launch.cli import main
from traces.reader import Trace
from traces.report import make_report

ROOT = Path(__file__).parents[2]
TINY = ROOT / "configs/runs/tiny.yaml"


def write_run(folder: Path, policy: Path) -> Path:
    data = yaml.safe_load(TINY.read_text())
    data["chip"] = str(ROOT / "configs/chips/small16.yaml")
    data["inputs"]["path"] = str(ROOT / "configs/images")
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump({**data, "policy": str(policy)}))
    return path


def test_no_run_is_faster_than_the_expected_bottleneck_allows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["map", str(TINY), "--explain", "--json"]) == 0
    explanation = json.loads(capsys.readouterr().out)["explanation"]
    assert main(["run", str(TINY), "--plane", "timing", "-o", str(tmp_path / "run")]) == 0
    with Trace(tmp_path / "run") as trace:
        report = make_report(trace).to_json()
    rate = report["images_per_second"]
    assert 0.8 * explanation["expected_images_per_second"] < rate <= explanation["expected_images_per_second"]
    assert rate <= explanation["bound_images_per_second"]
    layers = {each["layer"]: each for each in explanation["layers"]}
    assert set(layers) == {each["name"] for each in report["layers"]}
    slowest = layers[explanation["bottleneck"]]
    busiest_us = slowest["ima_us"] if explanation["unit"] == "IMA" else slowest["cores_us"]
    assert busiest_us == pytest.approx(1e6 / explanation["expected_images_per_second"])
    for each in layers.values():  # copies share what one would do alone
        busiest = max(us for us in (each["ima_us"], each["cores_us"]) if us is not None)
        assert busiest * each["copies"] >= each["alone_us"] * (1 - 1e-9) > 0
    assert explanation["bottleneck"] == max(report["layers"], key=lambda each: each["busiest_share"])["name"]


def test_the_text_names_choices_bottleneck_and_bound(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["map", str(TINY), "--explain"]) == 0
    text = capsys.readouterr().out
    for words in ("copies", "alone us", "consumer L1", "Expected bottleneck: the", "with 1 pixel per MVM exceeds"):
        assert words in text


def test_a_found_mapping_can_be_saved_and_run_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    goal = {"kind": "optimize", "objective": "throughput", "clusters": 16, "evaluations": 8, "pixels_per_mvm": 2}
    (tmp_path / "goal.yaml").write_text(yaml.safe_dump(goal))
    run = write_run(tmp_path, tmp_path / "goal.yaml")
    assert main(["map", str(run), "--save", str(tmp_path / "found.yaml")]) == 0
    assert load_policy(tmp_path / "found.yaml").kind == "manual"
    found = (tmp_path / "found.yaml").read_text()
    assert "no mapping exceeds" in found
    assert "The policy allows" not in found
    (tmp_path / "goal.yaml").write_text(yaml.safe_dump({**goal, "clusters": 5000}))
    capsys.readouterr()
    assert main(["map", str(run)]) == 0
    assert "The policy allows 5,000 clusters, small16 has 16." in " ".join(capsys.readouterr().out.split())
    (tmp_path / "goal.yaml").write_text(yaml.safe_dump(goal))
    digests = []
    for name, policy in (("searched", tmp_path / "goal.yaml"), ("by hand", tmp_path / "found.yaml")):
        path = write_run(tmp_path, policy)
        assert main(["run", str(path), "--plane", "timing", "-o", str(tmp_path / name)]) == 0
        with Trace(tmp_path / name) as trace:
            digests.append(trace.attribute("digest"))
    assert digests[0] == digests[1]
    capsys.readouterr()


def test_a_mapping_that_cannot_be_saved_is_said_before_the_search(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    goal = {"kind": "optimize", "objective": "throughput", "clusters": 16, "evaluations": 10**9, "pixels_per_mvm": 2}
    (tmp_path / "goal.yaml").write_text(yaml.safe_dump(goal))
    run = write_run(tmp_path, tmp_path / "goal.yaml")
    assert main(["map", str(run), "--save", str(tmp_path / "none/found.yaml")]) == 2
    assert f"there is no folder {tmp_path / 'none'}; make it first" in capsys.readouterr().err
    assert main(["map", str(TINY), "--save", str(tmp_path)]) == 2
    assert "cannot be written: Is a directory" in capsys.readouterr().err
    (tmp_path / "mine.yaml").write_text("kind: manual")
    assert main(["map", str(run), "--save", str(tmp_path / "mine.yaml")]) == 2
    assert "mine.yaml: the file exists; choose another, or remove it" in capsys.readouterr().err
    assert (tmp_path / "mine.yaml").read_text() == "kind: manual"


@pytest.mark.parametrize("n_ranks", ["1", "2"])
def test_interrupting_a_search_runs_the_best_so_far(tmp_path: Path, n_ranks: str) -> None:
    goal = {"kind": "optimize", "objective": "throughput", "clusters": 16, "evaluations": 100_000, "pixels_per_mvm": 2}
    (tmp_path / "goal.yaml").write_text(yaml.safe_dump(goal))
    run = write_run(tmp_path, tmp_path / "goal.yaml")
    arguments = ["run", str(run), "-n", n_ranks, "--plane", "timing", "--progress", "-o", str(tmp_path / "out")]
    command = [sys.executable, "-m", "launch.cli", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, cwd=ROOT, start_new_session=True) as process:
        assert process.stderr is not None
        seen = b""
        while b"images/s over the batch" not in seen:  # the progress line of a search that has found something
            piece = os.read(process.stderr.fileno(), 4096)
            assert piece, seen.decode()
            seen += piece
        process.send_signal(signal.SIGINT)
        process.stderr.read()
    assert process.returncode == 0
    with Trace(tmp_path / "out") as trace:
        assert "kind: manual" in trace.attribute("mapping_file")


def test_a_found_mapping_computes_exact_values_on_two_ranks(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    goal = {"kind": "optimize", "objective": "latency", "clusters": 16, "evaluations": 8, "pixels_per_mvm": 4}
    (tmp_path / "goal.yaml").write_text(yaml.safe_dump(goal))
    run = write_run(tmp_path, tmp_path / "goal.yaml")
    assert main(["run", str(run), "-n", "2", "-o", str(tmp_path / "out")]) == 0
    assert main(["verify", str(tmp_path / "out")]) == 0
    assert "exact" in capfd.readouterr().out
