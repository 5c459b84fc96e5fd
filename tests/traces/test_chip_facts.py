"""What reports read of a chip file, and old traces that have less to say."""

import re
from pathlib import Path
from typing import Any

import h5py
import pytest
from support.traces import ROWS, header, write_trace

from traces.analysis.chip import chip_of, read_chip_text
from traces.errors import TraceError
from traces.figure_names import figure_name
from traces.reader import Trace
from traces.report import make_report
from traces.report_text import report_to_text
from traces.schema import TABLES, Header

CHIPS = Path(__file__).parents[2] / "configs/chips"
TEXT = (CHIPS / "bruschi2023.yaml").read_text(encoding="utf-8")
#: The same chip, its published figures for the small trace.
SMALL = TEXT.replace("macs_per_image: 2369245184", "macs_per_image: 5000000")
SMALL = SMALL.replace("n_outputs: 1000", "n_outputs: 128").replace("n_images: 16 ", "n_images: 2 ")


def trace_with(folder: Path, monkeypatch: pytest.MonkeyPatch, **attributes: Any) -> Path:
    changed: Header = header()
    changed.attributes.update(attributes)
    monkeypatch.setattr("support.traces.header", lambda _plane: changed)
    return write_trace(folder, [ROWS])


def test_the_published_chip_is_read_as_the_emulator_reads_it() -> None:
    from emulator.chip.load import load_chip

    facts, chip = read_chip_text(TEXT, "here"), load_chip(CHIPS / "bruschi2023.yaml")
    assert facts.energy == chip.energy
    assert facts.area == chip.area
    assert facts.published == chip.published
    assert facts.cluster.ima.mvm_latency == chip.cluster.ima.mvm_latency_ps
    assert facts.cluster.synchronization == chip.cluster.synchronization_cycles
    assert (facts.costing.n_cores, facts.costing.row_bytes, facts.costing.column_bytes) == (16, 1, 1)
    assert [level.fan_out for level in facts.topology.levels] == [level.fan_out for level in chip.topology.levels]
    assert facts.peak_ops_per_second == pytest.approx(1.008e12, rel=1e-3)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: bruschi2023", "name: [", "here: malformed YAML"),
        ("synchronization: 100 cycles", "synchronization: 100 ns", "here: cluster.synchronization: .*got '100 ns'"),
        ("core_cycle: 6.3 pJ", "core_cycle: 6.3", "here: energy.core_cycle: .*without a unit"),
        ("core_cycle: 6.3 pJ", "core_cycle: -6.3 pJ", "here: energy.core_cycle: .*at least zero"),
    ],
)
def test_a_damaged_chip_text_is_one_clear_error(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(TraceError, match=message):
        read_chip_text(TEXT.replace(old, new), "here")


def test_published_figures_stand_beside_those_of_the_same_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Trace(trace_with(tmp_path, monkeypatch, chip_file=SMALL, name="resnet18 on bruschi2023")) as trace:
        report = make_report(trace)
    figures = {each.figure: each for each in report.comparisons()}
    assert figures["images_per_second"].published == 3303
    assert figures["images_per_second"].measured == pytest.approx(2 / 28e-6)
    assert figures["area_mm2"].deviation == pytest.approx(report.area_mm2 / 480 - 1)
    assert {"energy_mj_per_batch", "tops_per_watt", "loss_factors.imbalance", "loss_factors.total"} <= set(figures)
    text = report_to_text(report)
    assert "why it may differ" in text
    assert report.published_note is not None
    assert report.published_note in text
    assert "322 clusters; this run's mapping uses 2." in report.to_json()["published_note"]
    assert figure_name("loss_factors.imbalance") in text


def test_the_published_mapping_needs_no_remark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = SMALL.replace("n_clusters: 322", "n_clusters: 2")
    with Trace(trace_with(tmp_path, monkeypatch, chip_file=text, name="resnet18 on bruschi2023")) as trace:
        report = make_report(trace)
    assert report.comparisons()
    assert report.published_note is None
    assert "The published figures are" not in report_to_text(report)


@pytest.mark.parametrize("changed", ["macs_per_image: 5000001", "n_outputs: 10", "n_images: 16"])
def test_published_figures_of_other_images_or_batches_are_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    key = changed.partition(":")[0]
    text = re.sub(rf"  {key}: \d+", f"  {changed}", SMALL)
    assert text != SMALL
    with Trace(trace_with(tmp_path, monkeypatch, chip_file=text, name="resnet18 on bruschi2023")) as trace:
        report = make_report(trace)
    assert report.comparisons() == ()
    assert report.published_note is None
    assert report.to_json()["published"] == []


@pytest.mark.parametrize("name", ["bruschi2023", "bruschi2023-pcm", "bruschi2023-hermes"])
def test_published_figures_are_for_resnet18_at_256_x_256(name: str) -> None:
    published = read_chip_text((CHIPS / f"{name}.yaml").read_text(encoding="utf-8"), name).published
    assert published is not None
    assert published.macs_per_image == 2_369_245_184  # as tests/network/test_zoo.py counts them
    assert (published.n_outputs, published.n_images, published.n_clusters) == (1000, 16, 322)


def test_other_networks_have_nothing_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Trace(trace_with(tmp_path, monkeypatch, chip_file=TEXT)) as trace:
        assert make_report(trace).comparisons() == ()


def test_other_coefficients_cost_the_same_counts_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dear = read_chip_text(TEXT.replace("hbm: 31.4 pJ/B", "hbm: 62.8 pJ/B").replace("ima: 0.634", "ima: 1.634"), "here")
    with Trace(trace_with(tmp_path, monkeypatch, chip_file=TEXT)) as trace:
        before, after = make_report(trace), make_report(trace, costs=dear)
        assert chip_of(trace) is not None
    assert before.timing is not None
    assert after.timing is not None
    assert before.timing.energy is not None
    assert after.timing.energy is not None
    assert after.timing.energy.counts == before.timing.energy.counts
    old, new = before.timing.energy.by_component_pj, after.timing.energy.by_component_pj
    assert new.pop("hbm") == pytest.approx(2 * old.pop("hbm"))
    assert new == old
    assert after.area_mm2 == pytest.approx(before.area_mm2 + 4)  # a square millimetre for each of four clusters


def test_a_chip_without_coefficients_has_no_energy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = TEXT.split("\nenergy:")[0]
    with Trace(trace_with(tmp_path, monkeypatch, chip_file=plain)) as trace:
        report = make_report(trace)
    assert report.to_json()["energy_mj_per_image"] is None
    assert report.to_json()["area_mm2"] is None
    assert report.to_json()["loss_factors"] is not None
    assert "the chip file has no coefficients" in report_to_text(report)


def test_a_trace_of_version_1_shows_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = trace_with(tmp_path, monkeypatch, chip_file=TEXT)
    with h5py.File(path, "r+") as file:
        file.attrs["schema_version"] = 1
        for table, columns in TABLES.items():
            for column in columns:
                if column.since > 1:
                    del file[table][column.name]
            if not len(file[table]):
                del file[table]
    with Trace(path) as trace:
        assert "routes" not in trace
        assert "output_height" not in trace["layers"]
        report = make_report(trace)
    figures = report.to_json()
    assert figures["layer_groups"] == []
    assert figures["energy_mj_per_image"] is None
    assert sum(figures["time_shares"]["0"].values()) == figures["makespan_ps"]
    assert "images/s over the batch" in report_to_text(report)
    assert figures["network"]["contention_ps"] is None
    assert "contention" not in report_to_text(report)
