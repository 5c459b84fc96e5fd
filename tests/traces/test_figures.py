"""Figures of the small trace against numbers worked out on paper."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.traces import ROWS, US, header, write_trace

from traces.analysis.bottleneck import slowest_stages
from traces.analysis.records import order_records
from traces.analysis.throughput import measure_throughput
from traces.analysis.utilization import actor_busy_ps, measure_clusters, measure_layers
from traces.analysis.waiting import measure_waiting
from traces.errors import TraceError
from traces.html.page import write_page
from traces.plots.conclusions import on_roofline
from traces.plots.data import figure_data
from traces.plots.figures import draw_figure, draw_figures
from traces.plots.timeline import busy_shares
from traces.reader import Trace
from traces.report import make_report
from traces.report_text import report_to_text
from traces.schema import Header, Resource

CONTRACT = {
    "n_images", "makespan_s", "images_per_second", "images_per_second_steady", "first_image_latency_s",
    "gmac_per_image", "tops", "clusters_used", "clusters_total", "n_events", "n_ranks", "digest", "wall_s",
}  # fmt: skip


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    return Trace(write_trace(tmp_path))


@pytest.fixture
def trace_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Trace]:
    """The small trace with another header, and with other records if asked for."""

    def build(change: Callable[[Header], None], **rows: list[tuple[int, ...]]) -> Trace:
        changed = header()
        change(changed)
        monkeypatch.setattr("support.traces.header", lambda _plane: changed)
        return Trace(write_trace(tmp_path, [{**ROWS, **rows}]))

    return build


def test_throughput_and_latency(trace: Trace) -> None:
    throughput = measure_throughput(trace)
    assert throughput.makespan_ps == 28 * US
    assert throughput.images_per_second == pytest.approx(2 / 28e-6)
    assert throughput.images_per_second_steady == pytest.approx(1 / 10e-6)
    assert throughput.first_image_latency_ps == 18 * US
    assert throughput.begin_ps == 0
    assert throughput.mean_latency_ps == 23 * US  # 18 us and, from the input firing at zero, 28 us


def test_busy_times_are_exact(trace: Trace) -> None:
    assert actor_busy_ps(order_records(trace)).tolist() == [0, 20 * US, 8 * US, 4 * US, 2 * US]
    clusters = measure_clusters(trace, order_records(trace))
    assert clusters.cluster.tolist() == [0, 1]
    assert clusters.ima_ps.tolist() == [20 * US, 0]
    assert clusters.cores_ps.tolist() == [8 * US, 4 * US]
    assert clusters.busy_ps.tolist() == [24 * US, 4 * US]  # IMA and cores overlap from 10 to 14 us


def test_layers_take_the_mean_and_the_most_of_their_clusters(trace: Trace) -> None:
    conv, add = measure_layers(trace, order_records(trace), 28 * US)
    assert (conv.n_clusters, conv.n_firings, conv.macs) == (1, 4, 5_000_000)
    assert conv.busy_share == pytest.approx(24 / 28)
    assert add.busiest_share == pytest.approx(4 / 28)


def test_the_slowest_stage_is_named_with_its_work_and_its_cap(trace: Trace) -> None:
    first, second = slowest_stages(trace, order_records(trace), measure_throughput(trace))[:2]
    assert (first.cluster, first.unit, first.layers) == (0, "IMA", ("conv",))
    assert first.cap_images_per_second == pytest.approx(1e5)
    assert "76 matrix-vector products per image" in first.why
    assert (first.bound, first.busy_ps) == ("analog", 20 * US)
    assert (second.cluster, second.unit, second.bound) == (1, "cores", "digital")


def test_idle_times_of_a_stage_have_causes_and_add_up_to_the_makespan(trace: Trace) -> None:
    first, second = slowest_stages(trace, order_records(trace), measure_throughput(trace))[:2]
    assert (first.waiting.finished_ps, first.waiting.longest, first.waiting.longest_for) == (8 * US, "finished", None)
    # The addition starts at 15 and at 25 us, after 15 and 8 us without input; it ends at 27 us.
    assert (second.waiting.input_ps, second.waiting.finished_ps) == (23 * US, US)
    assert (second.waiting.longest, second.waiting.longest_for) == ("input", "conv")
    for stage in (first, second):
        waiting = stage.waiting
        causes = (waiting.none_ps, waiting.actor_ps, waiting.input_ps, waiting.room_ps, waiting.resource_ps)
        assert stage.busy_ps + sum(causes) + waiting.finished_ps == 28 * US


def test_a_wait_for_room_names_the_consumer(trace_of: Callable[..., Trace]) -> None:
    rows = [list(row) for row in ROWS["firings"]]
    rows[5][3:] = [23 * US, 24 * US, 3, 2]  # the second reduction is held up by the buffer of the addition
    trace = trace_of(lambda _header: None, firings=[tuple(row) for row in rows])
    held = measure_waiting(trace, order_records(trace), measure_throughput(trace), np.array([2]))
    assert (held.input_ps, held.room_ps, held.finished_ps) == (10 * US, 9 * US, 4 * US)
    rows[4][3:] = [0, 14 * US, 0, -1]
    trace.path.unlink()
    trace = trace_of(lambda _header: None, firings=[tuple(row) for row in rows])
    held = measure_waiting(trace, order_records(trace), measure_throughput(trace), np.array([2]))
    assert (held.longest, held.longest_for) == ("room", "add")


def test_layers_that_share_a_cluster_count_their_own_firings(trace_of: Callable[..., Trace]) -> None:
    def share(changed: Header) -> None:
        changed.tables["actors"]["site"] = [4, 0, 0, 0, 4]

    trace = trace_of(share)
    conv, add = measure_layers(trace, order_records(trace), 28 * US)
    assert (conv.n_clusters, conv.busy_ps) == (1, 24 * US)
    assert (add.n_clusters, add.busy_ps, add.busy_share) == (1, 4 * US, 4 / 28)
    assert measure_clusters(trace, order_records(trace)).busy_ps.tolist() == [26 * US]  # 0 to 24 and 25 to 27 us
    assert make_report(trace).to_json()["clusters_used"] == 1


def test_a_layer_without_actors_is_idle(trace_of: Callable[..., Trace]) -> None:
    def add_layer(changed: Header) -> None:
        for values, value in zip(changed.tables["layers"].values(), ("flat", "relu", 0, 0, 4, 4, 8), strict=True):
            values.append(value)

    trace = trace_of(add_layer)
    flat = measure_layers(trace, order_records(trace), 28 * US)[2]
    assert (flat.name, flat.n_clusters, flat.busy_ps, flat.busy_share, flat.busiest_share) == ("flat", 0, 0, 0.0, 0.0)


def test_busy_times_stay_exact_on_many_clusters_over_long_times(trace_of: Callable[..., Trace]) -> None:
    factor, n_clusters = 1_000_000, 999_999  # 28 s: a product of both would not fit 64 bits

    def spread(changed: Header) -> None:
        changed.attributes["n_clusters"] = n_clusters
        changed.tables["actors"]["site"] = [n_clusters, 0, 0, n_clusters - 1, n_clusters]

    slow = [(a, i, p, start * factor, end * factor, c, h) for a, i, p, start, end, c, h in ROWS["firings"]]
    trace = trace_of(spread, firings=slow)
    assert measure_clusters(trace, order_records(trace)).busy_ps.tolist() == [24 * US * factor, 4 * US * factor]


@settings(max_examples=50, deadline=None)
@given(
    intervals=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 15)), min_size=1, max_size=12),
    owners=st.lists(st.integers(0, 3), min_size=12, max_size=12),
)
def test_busy_times_equal_a_count_of_covered_instants(
    tmp_path_factory: pytest.TempPathFactory, intervals: list[tuple[int, int]], owners: list[int]
) -> None:
    actors = [1 + owner % 3 for owner in owners]  # two on cluster 0, one on cluster 1
    firings = [
        (actor, 0, i, begin, begin + length, 0, -1)
        for i, ((begin, length), actor) in enumerate(zip(intervals, actors, strict=False))
    ]
    with Trace(write_trace(tmp_path_factory.mktemp("any"), [{**ROWS, "firings": firings}])) as trace:
        busy_ps = measure_clusters(trace, order_records(trace)).busy_ps
    for cluster, members in enumerate(({1, 2}, {3})):
        instants = {t for actor, _, _, begin, end, _, _ in firings if actor in members for t in range(begin, end)}
        assert busy_ps[cluster] == len(instants)


def test_an_image_that_never_came_out_is_an_error(trace_of: Callable[..., Trace]) -> None:
    trace = trace_of(lambda _header: None, firings=ROWS["firings"][:-1])
    with pytest.raises(TraceError, match="no output firing of image 1"):
        measure_throughput(trace)


def test_an_image_that_was_not_in_the_batch_is_an_error(trace_of: Callable[..., Trace]) -> None:
    firings = [(*ROWS["firings"][0][:1], 7, *ROWS["firings"][0][2:]), *ROWS["firings"][1:]]
    with pytest.raises(TraceError, match="a firing of image 7, though the run had"):
        measure_throughput(trace_of(lambda _header: None, firings=firings))


def test_names_are_printed_as_they_are(trace_of: Callable[..., Trace], tmp_path: Path) -> None:
    def rename(changed: Header) -> None:
        changed.attributes["name"] = "net[/x] $on$ _{chip"
        changed.tables["layers"]["name"] = ["/block[bold]/conv$_", "a[/b]" * 30]

    trace = trace_of(rename)
    text = report_to_text(make_report(trace))
    assert "net[/x] $on$ _{chip" in text
    assert "/block[bold]/conv$_" in text
    assert "…" not in text
    draw_figure(figure_data(trace), "timeline", tmp_path / "timeline.png")
    assert (tmp_path / "timeline.png").stat().st_size > 1000


def test_one_image_has_no_steady_state(trace_of: Callable[..., Trace], tmp_path: Path) -> None:
    def cut(changed: Header) -> None:
        changed.attributes["n_images"] = 1

    rows = {table: [row for row in ROWS[table] if row[0 if table == "outputs" else 1] == 0] for table in ROWS}
    trace = trace_of(cut, **rows)
    figures = make_report(trace).to_json()
    assert figures["images_per_second_steady"] is None
    assert figures["makespan_s"] == figures["first_image_latency_s"] == 18e-6
    assert "steady" not in report_to_text(make_report(trace))
    data = figure_data(trace)
    draw_figure(data, "timeline", tmp_path / "timeline.png")
    assert on_roofline(data).endswith(" is reached over the batch.")
    write_page(data, tmp_path / "report.html")
    assert "steady state<" not in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_shares_of_time_bins_add_up_to_the_busy_time(trace: Trace) -> None:
    shares = busy_shares(figure_data(trace), Resource.CORES, 14)
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
    text = report_to_text(report)
    assert "71,428.6 images/s over the batch, 100,000.0 in steady state" in text
    assert "caps the chip at 100,000 images/s" in text
    assert "Bound by analog work; idle 28.6% of the time, mostly while the batch drains behind it." in text
    assert "Idle 85.7% of the time, mostly waiting for input from conv." in text


def test_a_run_of_one_plane_reports_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "v").mkdir()
    values_only = {**ROWS, "firings": [], "transfers": []}
    with Trace(write_trace(tmp_path / "v", [values_only], plane="values")) as trace:
        figures = make_report(trace).to_json()
        assert figures["images_per_second"] is None
        assert figures["top_classes"] == [1, 0]
        assert "The timing plane did not run, so there are no times." in report_to_text(make_report(trace))
        with pytest.raises(TraceError, match="no timing plane"):
            draw_figure(figure_data(trace), "timeline", tmp_path / "timeline.png")
    (tmp_path / "t").mkdir()
    timing_only = {**ROWS, "outputs": [], "checksums": []}
    with Trace(write_trace(tmp_path / "t", [timing_only], plane="timing")) as trace:
        assert make_report(trace).to_json()["top_classes"] == []
        assert "The value plane did not run, so there are no outputs." in report_to_text(make_report(trace))
        with pytest.raises(TraceError, match="no value plane"):
            trace.outputs()


def test_the_timeline_is_a_picture_with_both_colours(trace: Trace, tmp_path: Path) -> None:
    draw_figure(figure_data(trace), "timeline", tmp_path / "timeline.png")
    with Image.open(tmp_path / "timeline.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3).astype(int)
        assert min(picture.size) > 500
    for color in ((0, 114, 178), (230, 159, 0)):
        assert (np.abs(pixels - color).max(axis=1) <= 2).sum() > 50


def test_a_picture_that_cannot_be_written_is_one_clear_error(trace: Trace, tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="the picture cannot be written"):
        draw_figure(figure_data(trace), "timeline", tmp_path / "nowhere" / "timeline.png")
    with pytest.raises(TraceError, match=r"timeline\.txt: no picture is written as 'txt'; expected .*png"):
        draw_figure(figure_data(trace), "timeline", tmp_path / "timeline.txt")


def test_more_clusters_than_rows_are_averaged(trace: Trace) -> None:
    alone = busy_shares(figure_data(trace), Resource.CORES, 14)
    together = busy_shares(figure_data(trace), Resource.CORES, 14, max_rows=1)
    assert together == pytest.approx(alone.mean(axis=0, keepdims=True))


def test_a_run_without_a_chip_file_draws_what_it_can(trace: Trace, tmp_path: Path) -> None:
    drawn = {path.stem for path in draw_figures(figure_data(trace), tmp_path)}
    assert drawn == {"timeline", "time_breakdown", "network", "queues"}
