"""Figures of the small trace against numbers worked out on paper."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.traces import ROWS, US, write_trace

from traces.analysis.bottleneck import slowest_stages
from traces.analysis.throughput import measure_throughput
from traces.analysis.utilization import actor_busy_ps, measure_clusters, measure_layers
from traces.errors import TraceError
from traces.plots.timeline import busy_shares, draw_timeline
from traces.reader import Trace
from traces.report import make_report
from traces.schema import Resource

CONTRACT = {
    "n_images", "makespan_s", "images_per_second", "images_per_second_steady", "first_image_latency_s",
    "gmac_per_image", "tops", "clusters_used", "clusters_total", "n_events", "n_ranks", "digest", "wall_s",
}  # fmt: skip


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    return Trace(write_trace(tmp_path))


def test_throughput_and_latency(trace: Trace) -> None:
    throughput = measure_throughput(trace)
    assert throughput.makespan_ps == 28 * US
    assert throughput.images_per_second == pytest.approx(2 / 28e-6)
    assert throughput.images_per_second_steady == pytest.approx(1 / 10e-6)
    assert throughput.first_image_latency_ps == 18 * US
    assert throughput.mean_latency_ps == 23 * US  # 18 us and, from the input firing at zero, 28 us


def test_busy_times_are_exact(trace: Trace) -> None:
    assert actor_busy_ps(trace).tolist() == [0, 20 * US, 8 * US, 4 * US, 2 * US]
    clusters = measure_clusters(trace)
    assert clusters.cluster.tolist() == [0, 1]
    assert clusters.ima_ps.tolist() == [20 * US, 0]
    assert clusters.cores_ps.tolist() == [8 * US, 4 * US]
    assert clusters.busy_ps.tolist() == [24 * US, 4 * US]  # IMA and cores overlap from 10 to 14 us


def test_layers_take_the_mean_and_the_most_of_their_clusters(trace: Trace) -> None:
    conv, add = measure_layers(trace, measure_clusters(trace), 28 * US)
    assert (conv.n_clusters, conv.n_firings, conv.macs) == (1, 4, 5_000_000)
    assert conv.busy_share == pytest.approx(24 / 28)
    assert add.busiest_share == pytest.approx(4 / 28)


def test_the_slowest_stage_is_named_with_its_work_and_its_cap(trace: Trace) -> None:
    first, second = slowest_stages(trace, 28 * US)[:2]
    assert (first.cluster, first.unit, first.layers) == (0, "IMA", ("conv",))
    assert first.cap_images_per_second == pytest.approx(1e5)
    assert "76 matrix-vector products per image" in first.why
    assert (second.cluster, second.unit) == (1, "cores")


def test_shares_of_time_bins_add_up_to_the_busy_time(trace: Trace) -> None:
    shares = busy_shares(trace, Resource.CORES, 0, 28 * US, 14)
    assert shares.shape == (2, 14)
    assert shares.sum(axis=1) * 2 * US == pytest.approx([8 * US, 4 * US])
    assert shares[0, 5] == pytest.approx(1)  # 10 to 12 us
    assert shares[1].nonzero()[0].tolist() == [7, 8, 12, 13]  # 15 to 17 and 25 to 27 us


def test_the_report_has_the_promised_keys_and_sensible_text(trace: Trace) -> None:
    report = make_report(trace)
    figures = json.loads(json.dumps(report.to_json()))
    assert set(figures) >= CONTRACT
    assert set(figures["wall_s"]) == {"values", "timing", "trace", "total"}
    assert figures["tops"] == pytest.approx(2 * 5e6 * 2 / 28e-6 / 1e12)
    assert (figures["clusters_used"], figures["clusters_total"]) == (2, 4)
    assert figures["top_classes"] == [1, 0]
    first, second = figures["clusters"]
    assert (first["cluster"], first["layer"], first["busy_share"]) == (0, "conv", 24 / 28)
    assert (second["ima_share"], second["cores_share"]) == (0.0, 4 / 28)
    text = report.to_text()
    assert "71,428.6 images/s over the batch, 100,000.0 in steady state" in text
    assert "caps the chip at 100,000 images/s" in text


def test_a_run_of_one_plane_reports_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "v").mkdir()
    values_only = {**ROWS, "firings": [], "transfers": []}
    with Trace(write_trace(tmp_path / "v", [values_only], plane="values")) as trace:
        figures = make_report(trace).to_json()
        assert figures["images_per_second"] is None
        assert figures["top_classes"] == [1, 0]
        assert "no times" in make_report(trace).to_text()
    (tmp_path / "t").mkdir()
    timing_only = {**ROWS, "outputs": [], "checksums": []}
    with Trace(write_trace(tmp_path / "t", [timing_only], plane="timing")) as trace:
        assert make_report(trace).to_json()["top_classes"] == []
        with pytest.raises(TraceError, match="no value plane"):
            trace.outputs()


def test_the_timeline_is_a_picture_with_both_colours(trace: Trace, tmp_path: Path) -> None:
    draw_timeline(trace, tmp_path / "timeline.png")
    with Image.open(tmp_path / "timeline.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3).astype(int)
        assert min(picture.size) > 500
    for color in ((0, 114, 178), (230, 159, 0)):
        assert (np.abs(pixels - color).max(axis=1) <= 2).sum() > 50
