"""Runs side by side: what was asked for, what came out, which layers moved."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.traces import ROWS, US, header, write_trace

from traces.compare import compare_runs
from traces.compare_text import comparison_to_text
from traces.plots.steps import draw_steps
from traces.plots.style import save, styled
from traces.reader import Trace
from traces.report_text import report_to_text
from traces.schema import Header

CHIPS = Path(__file__).parents[2] / "configs/chips"


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, rows: dict[str, Any], **attributes: str) -> Trace:
    """Write the small trace with other records and attributes."""
    folder.mkdir()
    changed: Header = header()
    changed.attributes.update(attributes)
    changed.tables["actors"]["site"] = [4, 0, 0, 2 if attributes else 1, 4]
    monkeypatch.setattr("support.traces.header", lambda _plane: changed)
    return Trace(write_trace(folder, [{**ROWS, **rows}]))


@pytest.fixture
def two_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Trace]:
    slow = [(*row[:3], 2 * row[3], 2 * row[4], *row[5:]) for row in ROWS["firings"]]
    first = run(tmp_path / "first", monkeypatch, {})
    policy = "residual: hbm\nlayers:\n  conv: {copies: 2}\n"
    second = run(
        tmp_path / "second", monkeypatch, {"firings": slow}, policy_file=policy, mapping_file=policy + "extra: [1, 2]\n"
    )
    return [first, second]


def test_differences_figures_and_moves_are_found(two_runs: list[Trace]) -> None:
    found = json.loads(json.dumps(compare_runs(two_runs, ["a", "b"]).to_json()))
    assert [(d["file"], d["key"], d["values"]) for d in found["differences"]] == [
        ("policy_file", "residual", [None, "hbm"]),
        ("policy_file", "layers.conv.copies", [None, 2]),
        ("mapping_file", "extra.0", [None, 1]),  # what the mapping repeats of its policy is said once
        ("mapping_file", "extra.1", [None, 2]),
    ]
    assert found["figures"]["makespan_s"] == [28 * US / 1e12, 56 * US / 1e12]
    assert found["figures"]["energy_mj_per_image"] == [None, None]
    conv, add = found["layers"]
    assert (conv["layer"], conv["moved"], conv["n_clusters"]) == ("conv", [False, False], [1, 1])
    assert (add["layer"], add["moved"]) == ("add", [False, True])
    assert conv["busiest_share"] == [24 / 28, 24 / 28]


def test_different_chips_of_one_name_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (CHIPS / "small16.yaml").read_text(encoding="utf-8")
    same, other = f"# a comment\n{text}", text.replace("cores: 16", "cores: 8")
    assert other != text
    runs = [run(tmp_path / name, monkeypatch, {}, chip_file=file) for name, file in (("a", text), ("b", same))]
    found = compare_runs(runs, ["a", "b"])
    assert not [each for each in found.differences if each.file == "chip_file"]
    runs.append(run(tmp_path / "c", monkeypatch, {}, chip_file=other))
    found = compare_runs(runs, ["a", "b", "c"])
    name, cores = (each for each in found.differences if each.file == "chip_file")
    assert (cores.key, cores.values) == ("cluster.cores", (16, 16, 8))
    assert name.key == "name"
    assert name.values[0] == name.values[1] != name.values[2]
    assert all(label.startswith("small16 (") for label in name.values)
    assert [each["chip"] for each in found.to_json()["runs"]] == list(name.values)
    for label, report in zip(name.values, found.reports, strict=True):
        assert label in report_to_text(report)


def test_the_text_sets_runs_side_by_side(two_runs: list[Trace]) -> None:
    text = comparison_to_text(compare_runs(two_runs, ["a[/b]", "c"]))
    assert "a[/b]" in text
    assert "35,714 (0.50x)" in text
    assert "1, 14.3% *" in text
    same = comparison_to_text(compare_runs(two_runs[:1] * 2, ["a", "b"]))
    assert "All files of the runs say the same." in same
    assert "*" not in same.split("elsewhere")[1]


def test_steps_are_drawn(two_runs: list[Trace], tmp_path: Path) -> None:
    comparison = compare_runs(two_runs, ["a", "$b_{"])
    with styled():
        save(draw_steps(comparison.labels, comparison.reports), tmp_path / "steps.png")
    assert (tmp_path / "steps.png").stat().st_size > 5000
