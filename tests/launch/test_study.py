"""Studies: every case runs once, whole on one rank; what is done and unchanged is left alone."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from support import commands
from support.commands import ROOT, TINY

from emulator.config_file import replace_keys
from emulator.errors import ConfigError
from emulator.optimize import judge
from launch import study_case
from launch.cli import main
from launch.study_file import load_study
from traces.reader import Trace
from traces.report import make_report

CASES = [
    {"name": "plain", "run": str(TINY)},
    {"name": "slow", "run": str(TINY), "chip": {"topology.levels.0.width": "1 B/cycle", "hbm.width": "1 B/cycle"}},
    {"name": "wide", "run": str(TINY), "policy": {"tile_width": 2}, "count": 2},
]
SWEEP = {"name": "sync", "run": str(TINY), "vary": "chip.cluster.synchronization", "values": ["0 cycles", "1 cycles"]}


def write_study(folder: Path, *cases: dict[str, Any], **more: Any) -> Path:
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump({"name": "a study", "cases": list(cases), **more}))
    return path


def run(study: Path, folder: Path, *more: str, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Run a study that succeeds and return its rows."""
    assert main(["study", str(study), "-o", str(folder), "--json", *more]) == 0
    rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["cases"]
    return rows


def report_of(folder: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return report


def mtimes(folder: Path) -> dict[str, int]:
    files = [path for path in folder.rglob("*.*") if path.suffix != ".png"]  # pictures are drawn anew every time
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in files}


def refusal(study: Path, folder: Path, capsys: pytest.CaptureFixture[str], code: int = 2) -> str:
    return commands.refusal(["study", str(study), "-o", str(folder)], capsys, code)


def test_every_case_leaves_a_trace_and_its_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study, out = write_study(tmp_path, *CASES, sweeps=[SWEEP]), tmp_path / "out"
    rows = run(study, out, capsys=capsys)
    assert [row["case"] for row in rows] == ["plain", "slow", "wide", "sync@0 cycles", "sync@1 cycles"]
    assert rows[0]["relative"] == 1
    assert rows[1]["relative"] == rows[1]["images_per_second"] / rows[0]["images_per_second"] < 1
    assert rows[3]["images_per_second"] > rows[4]["images_per_second"] > rows[0]["images_per_second"]
    for row, folder in zip(rows, ("plain", "slow", "wide", "sync@0-cycles", "sync@1-cycles"), strict=True):
        report = report_of(out / folder)
        assert {key: report[key] for key in row if key in report} == {k: v for k, v in row.items() if k in report}
        with Trace(out / folder) as trace:
            own = {key: report[key] for key in ("case", "content_key", "bound_images_per_second")}
            assert report == {**own, **json.loads(json.dumps(make_report(trace).to_json()))}
    with Trace(out / "slow") as trace:
        chip = yaml.safe_load(trace.attribute("chip_file"))
    assert [level["width"] for level in chip["topology"]["levels"]] == ["1 B/cycle", "64 B/cycle"]
    assert report_of(out / "wide")["n_images"] == 2
    assert yaml.safe_load((out / "wide/run.yaml").read_text())["inputs"]["count"] == 2
    assert main(["study", str(study), "-o", str(out)]) == 0
    text = capsys.readouterr().out
    assert "sync@1 cycles" in text
    assert "1.000 x" in text
    assert "0 cases run, 5 done before" in text


def test_a_case_gives_what_the_run_command_gives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(write_study(tmp_path, CASES[0]), tmp_path / "out", capsys=capsys)
    assert main(["run", str(TINY), "--plane", "timing", "-o", str(tmp_path / "run")]) == 0
    with Trace(tmp_path / "run") as alone, Trace(tmp_path / "out/plain") as case:
        for name in ("digest", "chip_file", "policy_file", "run_file", "model_hash", "name", "seed"):
            assert case.attribute(name) == alone.attribute(name)


def test_only_what_is_missing_or_changed_runs_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    first = run(write_study(tmp_path, *CASES), out, capsys=capsys)
    before = mtimes(out)
    assert run(write_study(tmp_path, *CASES), out, capsys=capsys) == first
    assert mtimes(out) == before
    (out / "plain/report.json").unlink()
    (out / "plain/rank00000.h5").write_text("left by a killed run")
    changed = {**CASES[1], "chip": {"hbm.width": "2 B/cycle"}}
    rows = run(write_study(tmp_path, CASES[0], changed, CASES[2]), out, capsys=capsys)
    after = mtimes(out)
    assert after.keys() == before.keys()
    untouched = {path for path in before if after[path] == before[path]}
    assert untouched == {path for path in before if path.startswith("wide/")}
    assert rows[0] == first[0]
    assert rows[1] != first[1]


def test_other_images_run_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = yaml.safe_load(TINY.read_text())
    data.update({key: str((TINY.parent / data[key]).resolve()) for key in ("chip", "policy")})
    data["inputs"] = {"path": "images.npy"}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(data))
    study = write_study(tmp_path, {"name": "mine", "run": "run.yaml"})
    keys = []
    for seed in (1, 1, 2):
        images = np.random.default_rng(seed).integers(0, 256, (2, 32, 32, 3), np.uint8)
        np.save(tmp_path / "images.npy", images)
        run(study, tmp_path / "out", capsys=capsys)
        keys.append(report_of(tmp_path / "out/mine")["content_key"])
    assert keys[0] == keys[1] != keys[2]


def test_a_shared_network_is_quantised_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written: list[Path] = []
    write_model = study_case.write_model

    def count(config: Any, images: Any, target: Path) -> None:
        written.append(target)
        write_model(config, images, target)

    monkeypatch.setattr(study_case, "write_model", count)
    run(write_study(tmp_path, *CASES, sweeps=[SWEEP]), tmp_path / "out", capsys=capsys)
    assert len(written) == 2  # one of them for the case with fewer images, with which it is calibrated
    assert not any(path.exists() for path in written)


def test_a_network_that_does_not_fit_is_a_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = {"name": "small", "run": str(TINY), "chip": {"topology.levels.0.fan_out": 1}}
    study, out = write_study(tmp_path, small, *CASES[:1]), tmp_path / "out"
    rows = run(study, out, capsys=capsys)
    assert "clusters asked, 4 there" in rows[0]["infeasible"]
    assert rows[0]["images_per_second"] is None
    assert rows[1]["infeasible"] is None
    assert rows[1]["relative"] is None  # there is nothing to compare with
    assert report_of(out / "small")["infeasible"] == rows[0]["infeasible"]
    before = mtimes(out)
    assert main(["study", str(study), "-o", str(out)]) == 0
    text = capsys.readouterr().out
    assert "does not fit" in text
    assert "what would help" in text
    assert mtimes(out) == before


def test_an_interrupted_search_is_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    goal = {"kind": "optimize", "objective": "latency", "clusters": 16, "evaluations": 4, "pixels_per_mvm": 2}
    (tmp_path / "goal.yaml").write_text(yaml.safe_dump(goal))
    data = yaml.safe_load(TINY.read_text()) | {"policy": str(tmp_path / "goal.yaml")}
    data["chip"], data["inputs"]["path"] = str(ROOT / "configs/chips/small16.yaml"), str(ROOT / "configs/images")
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(data))
    study, out = write_study(tmp_path, {"name": "searched", "run": "run.yaml"}), tmp_path / "out"
    evaluate, timed = judge.evaluate, []

    def interrupt_the_second(*arguments: Any) -> Any:
        timed.append(arguments)
        if len(timed) == 2:
            raise KeyboardInterrupt
        return evaluate(*arguments)

    monkeypatch.setattr(judge, "evaluate", interrupt_the_second)
    with pytest.raises(SystemExit) as end:
        main(["study", str(study), "-o", str(out)])
    assert end.value.code == 130
    assert not (out / "searched/report.json").exists()
    assert run(study, out, capsys=capsys)[0]["images_per_second"] > 0


def test_the_reports_are_the_same_on_one_and_two_ranks(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    study = write_study(tmp_path, *CASES, sweeps=[SWEEP])
    rows = []
    for n_ranks in (1, 2):
        arguments = ["study", str(study), "-o", str(tmp_path / f"{n_ranks}"), "--json", "-n", str(n_ranks)]
        assert main(arguments) == 0
        rows.append(json.loads(capfd.readouterr().out))
    assert rows[0] == rows[1]
    for case in ("plain", "slow", "wide", "sync@0-cycles", "sync@1-cycles"):
        one, two = (report_of(tmp_path / f"{n_ranks}" / case) for n_ranks in (1, 2))
        del one["wall_s"], two["wall_s"]
        assert one == two
    before = mtimes(tmp_path / "2")
    assert main(["study", str(study), "-o", str(tmp_path / "2"), "-n", "2"]) == 0
    assert mtimes(tmp_path / "2") == before


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_a_failing_case_is_named_and_what_is_done_stays(
    tmp_path: Path, n_ranks: int, capfd: pytest.CaptureFixture[str]
) -> None:
    greedy = {"name": "greedy", "run": str(TINY), "count": 1000}
    study = write_study(tmp_path, *CASES[:2], greedy)
    try:
        code = main(["study", str(study), "-o", str(tmp_path / "out"), "-n", str(n_ranks)])
    except SystemExit as end:  # a single rank ends here
        code = end.code
    assert code == 3
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err.count("aimc: error") == 1
    assert "case 'greedy': " in captured.err
    assert "asks for 1000 images" in captured.err
    assert (tmp_path / "out/plain/report.json").exists()
    assert not (tmp_path / "out/greedy/report.json").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"chip": {"hbm.widht": "1 B/cycle"}}, "small16.yaml: hbm.widht: unknown key; hbm: known keys: capacity,"),
        ({"chip": {"memory.width": 1}}, "memory.width: unknown key; the file: known keys: name, source, clock"),
        ({"chip": {"topology.levels.2.width": 1}}, "topology.levels.2.width: unknown key; topology.levels: known"),
        ({"chip": {"hbm.width.unit": "B"}}, "hbm.width.unit: unknown key; hbm.width: there is '64 B/cycle'"),
        ({"policy": {"tile": 1}}, "naive.yaml: tile: unknown key; the file: known keys: kind, copies"),
        ({"chip": {"hbm.width": "fast"}}, "small16.yaml: hbm.width: expected"),
        ({"policy": {"tile_width": 0}}, "naive.yaml: tile_width: expected a number of at least 1, got 0"),
        ({"run": "none.yaml"}, "none.yaml: no such file"),
    ],
)  # fmt: skip
def test_a_wrong_change_is_refused_before_anything_runs(
    tmp_path: Path, change: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    study = write_study(tmp_path, CASES[0], {"name": "wrong", "run": str(TINY), **change})
    message = refusal(study, tmp_path / "out", capsys)
    assert f"{study}: case 'wrong': " in message
    assert said in message
    assert message.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"cases": []}, "the study has no cases"),
        ({"cases": [CASES[0], CASES[0]]}, "cases 'plain' and 'plain' would share the folder plain"),
        ({"cases": [{**CASES[0], "seed": 2}]}, "cases[0].seed: unknown key"),
        ({"sweeps": [{**SWEEP, "vary": "hbm.width"}]}, "sweeps[0].vary: expected 'chip.' or 'policy.' and a key"),
        ({"sweeps": [{**SWEEP, "values": []}]}, "sweeps[0].values: "),
        ({"name": 3}, "name: "),
    ],
)
def test_a_wrong_study_file_is_refused(
    tmp_path: Path, data: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    study = write_study(tmp_path, **data)
    assert f"{study}: {said}" in refusal(study, tmp_path / "out", capsys)


def test_an_output_folder_that_cannot_be_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert "cannot be made" in refusal(write_study(tmp_path, CASES[0]), tmp_path / "file", capsys)


def test_the_folder_of_a_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["run", str(TINY), "--plane", "timing", "-o", str(out)]) == 0
    capsys.readouterr()
    before = sorted(out.iterdir())
    message = refusal(write_study(tmp_path, CASES[0]), out, capsys)
    assert f"{out}: this is the folder of a run (trace.h5), not of a study; choose another with -o" in message
    assert sorted(out.iterdir()) == before


def test_replaced_keys_leave_the_rest_and_the_original_alone() -> None:
    level = {"width": 1, "latency": 2}
    data = {"levels": [level, level], "copies": {"stage1.conv1": 1, "stage1": {"conv1": 2}}}
    changes = {"levels.1.width": 5, "copies.stage1.conv1": 7}
    assert replace_keys(Path("f"), data, changes) == {
        "levels": [level, {"width": 5, "latency": 2}],
        "copies": {"stage1.conv1": 7, "stage1": {"conv1": 2}},
    }
    assert data["levels"] == [{"width": 1, "latency": 2}] * 2
    with pytest.raises(ConfigError, match="known keys: 0, 1"):
        replace_keys(Path("f"), data, {"levels.-1.width": 5})


def test_names_become_folders_inside_the_output_folder(tmp_path: Path) -> None:
    names = ["../up", "64 B/cycle", "..", "größe=2"]
    _, cases = load_study(write_study(tmp_path, *({"name": name, "run": "run.yaml"} for name in names)))
    assert [case.folder_name for case in cases] == ["up", "64-B-cycle", "case", "größe=2"]
    assert {case.run for case in cases} == {tmp_path / "run.yaml"}


@pytest.mark.parametrize("path", sorted((ROOT / "configs/studies").iterdir()), ids=lambda path: path.stem)
def test_the_studies_that_come_along_are_valid(path: Path) -> None:
    study, cases = load_study(path)
    assert study.folder_name == path.stem
    keys = {study_case.resolve_case(case).content_key for case in cases}
    assert path.stem == "paper" or len(keys) == len(cases)  # its sweeps hold the unchanged run, too


PUBLISHED = {
    "name": "gain of speed",
    "figure": "images_per_second",
    "case": "plain",
    "over": "slow",
    "value": 2.0,
    "source": "made for this test",
    "cause": "they are the same machine",
    "shown_by": ["slow", "sync"],
}


def test_published_figures_stand_beside_every_variant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = {"variants": [{"name": "idle", "chip": {"cluster.synchronization": "400 cycles"}}], "published": [PUBLISHED]}
    study, out = write_study(tmp_path, *CASES[:2], sweeps=[SWEEP], **more), tmp_path / "out"
    assert main(["study", str(study), "-o", str(out), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    rates = {row["case"]: row["images_per_second"] for row in data["cases"]}
    assert set(rates) == {"plain", "slow", "plain, idle", "slow, idle", "sync@0 cycles", "sync@1 cycles"}
    assert rates["plain, idle"] < rates["plain"]
    (comparison,) = data["published"]
    for each, name in zip(comparison["emulated"], ("", ", idle"), strict=True):
        assert each["value"] == rates[f"plain{name}"] / rates[f"slow{name}"]
        assert each["deviation"] == each["value"] / 2 - 1
    assert comparison["experiments"]["slow"] == 1
    assert comparison["experiments"]["sync@0 cycles"] == rates["sync@0 cycles"] / rates["slow"]
    assert main(["study", str(study), "-o", str(out)]) == 0
    text = capsys.readouterr().out
    for words in ("gain of speed", "they are the same machine", "idle", "- made for this test: gain of speed", " %"):
        assert words in text


def test_a_reader_who_has_seen_enough_is_no_defect(tmp_path: Path) -> None:
    study = write_study(tmp_path, {**CASES[0], "count": 1})
    command = [sys.executable, "-m", "launch.cli", "study", str(study), "-o", str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_a_sweep_over_numbers_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = {**SWEEP, "values": ["0 cycles", "10 cycles", "100 cycles"], "relative_to": "plain"}
    words = {"name": "words", "run": str(TINY), "vary": "policy.residual", "values": ["consumer_l1", "hbm"]}
    study, out = write_study(tmp_path, CASES[0], sweeps=[sweep, words]), tmp_path / "out"
    run(study, out, capsys=capsys)
    assert (out / "sync.png").read_bytes().startswith(b"\x89PNG")
    assert not (out / "words.png").exists()
    (out / "sync.png").unlink()
    (out / "sync.png").mkdir()
    with pytest.raises(SystemExit) as end:
        main(["study", str(study), "-o", str(out)])
    assert end.value.code == 8
    assert "sync.png: the picture cannot be written: Is a directory" in capsys.readouterr().err


def test_numbers_of_different_units_are_not_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = {**SWEEP, "vary": "chip.cluster.ima.mvm_latency", "values": ["100 ns", "200 ns", "0.3 us"], "count": 1}
    run(write_study(tmp_path, sweeps=[sweep]), tmp_path / "out", capsys=capsys)
    assert not (tmp_path / "out/sync.png").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"published": [{**PUBLISHED, "over": None, "case": "other"}]}, "case: no case 'other'; there are plain"),
        ({"published": [{**PUBLISHED, "over": "other"}]}, "over: no case 'other'; there are plain"),
        ({"published": [{**PUBLISHED, "over": None, "shown_by": ["other"]}]}, "shown_by: no case 'other'"),
        ({"sweeps": [{**SWEEP, "relative_to": "other"}]}, "sync: relative_to: no case 'other'"),
    ],
)
def test_names_of_cases_are_checked(
    tmp_path: Path, more: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in refusal(write_study(tmp_path, CASES[0], **more), tmp_path / "out", capsys)
