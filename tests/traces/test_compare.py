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
from traces.schema import Header


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
