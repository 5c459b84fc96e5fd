"""Every figure of the golden trace: equal to those that stand beside it, consistent with each other, and drawn.

After a change that is meant, write the figures anew: AIMC_UPDATE_GOLDEN=1 python -m pytest tests/traces/test_golden.py
"""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from traces.analysis.accounting import CAUSES
from traces.analysis.queues import tokens_waiting
from traces.plots.conclusions import on_time_breakdown
from traces.plots.data import FigureData
from traces.plots.figures import FIGURES, draw_figures
from traces.plots.network import N_QUEUES, draw_queues
from traces.plots.style import label_log_x, new_figure, styled
from traces.plots.time_breakdown import draw_time_breakdown
from traces.plots.timeline import draw_timeline
from traces.report_text import report_to_text
from traces.schema import ActorKind

FIGURES_FILE = Path(__file__).parent / "golden/tiny.json"


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every plain value of nested lists and mappings with its path."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if items is None:
        yield path, value
        return
    for key, inner in items:
        yield from leaves(inner, f"{path}/{key}")


def test_the_report_of_the_golden_trace_has_not_changed(golden: FigureData) -> None:
    found = json.loads(json.dumps(golden.report.to_json()))
    if os.environ.get("AIMC_UPDATE_GOLDEN"):
        FIGURES_FILE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    expected = dict(leaves(json.loads(FIGURES_FILE.read_text(encoding="utf-8"))))
    for path, value in leaves(found):
        wanted = expected.pop(path, "nothing")
        assert value == (pytest.approx(wanted, rel=1e-9) if isinstance(value, float) else wanted), path
    assert not expected


def test_shares_of_every_cluster_add_up_to_the_makespan(golden: FigureData) -> None:
    report = golden.report.to_json()
    assert len(report["time_shares"]) == report["clusters_used"]
    for shares in report["time_shares"].values():
        assert set(shares) == {f"{cause}_ps" for cause in CAUSES}
        assert all(isinstance(ps, int) and ps >= 0 for ps in shares.values())
        assert sum(shares.values()) == report["makespan_ps"]
    groups = np.array([group.time_ps for group in golden.timing.groups])
    assert groups.sum(axis=0).tolist() == golden.timing.account.time_ps.sum(axis=0).tolist()
    busy = {cluster["cluster"]: cluster["busy_share"] for cluster in report["clusters"]}
    for cluster, shares in report["time_shares"].items():
        working = shares["analog_ps"] + shares["digital_ps"] + shares["synchronization_ps"]
        assert working / report["makespan_ps"] == pytest.approx(busy[int(cluster)])


def test_loss_factors_lead_from_the_peak_to_what_was_achieved(golden: FigureData) -> None:
    report, waterfall = golden.report.to_json(), golden.timing.waterfall
    assert waterfall is not None
    assert set(report["loss_factors"]) == {"global_mapping", "local_mapping", "imbalance", "communication", "total"}
    assert report["peak_tops"] == pytest.approx(16 * 2 * 256 * 256 / 130e-9 / 1e12)
    assert report["peak_tops"] / report["loss_factors"]["total"] == pytest.approx(report["tops"])
    assert waterfall.tops_after[-1] == pytest.approx(report["tops"])
    assert report["loss_factors"]["global_mapping"] == pytest.approx(16 / 15)
    assert all(factor >= 1 for factor in report["loss_factors"].values())
    parts = report["loss_parts"]
    assert parts["stalls"] * parts["fill_and_drain"] == pytest.approx(report["loss_factors"]["communication"])
    # One copy of each layer and one pixel per MVM: a crossbar computes one multiply-accumulate per cell that it uses.
    actors = golden.trace["actors"]
    cells = int((actors["n_rows"] * actors["n_columns"])[actors["kind"] == ActorKind.MVM].sum())
    assert report["loss_factors"]["local_mapping"] == pytest.approx(15 * 256 * 256 / cells)
    slowest = golden.timing.limits[0]
    assert slowest.kind == "analog"
    assert slowest.images_per_second / report["images_per_second"] == pytest.approx(
        report["loss_factors"]["communication"]
    )


def test_the_loss_factors_of_the_text_multiply_to_their_product(golden: FigureData) -> None:
    text = report_to_text(golden.report)
    lines = text[text.index("Losses against") :].splitlines()[4:10]
    rows = {line[:16].strip(): [float(word.replace(",", "")) for word in line[16:].split()] for line in lines}
    assert len({line.index(".") for line in lines[1:]}) == len({line.rindex(".") for line in lines}) == 1
    *factors, total = [factor for factor, _ in list(rows.values())[1:]]
    (peak,), left = rows["peak"], rows["all together"][1]
    assert np.prod(factors) == pytest.approx(total, rel=2e-3)
    assert peak / total == pytest.approx(left, rel=5e-3)


def test_counts_of_energy_equal_closed_forms_of_network_and_mapping(golden: FigureData) -> None:
    trace, use, n_images = golden.trace, golden.timing.energy, golden.report.n_images
    assert use is not None
    layers, actors = trace["layers"], trace["actors"]
    for i, name in enumerate(layers["name"].tolist()):
        counts = use.counts[name]
        n_pixels = int(layers["output_height"][i]) * int(layers["output_width"][i])
        blocks = (actors["layer"] == i) & (actors["kind"] == ActorKind.MVM)
        assert counts.n_mvms == n_images * n_pixels * int(layers["n_crossbars"][i])
        assert counts.n_cell_uses == n_images * int(layers["macs"][i])
        assert counts.n_row_inputs == n_images * n_pixels * int(actors["n_rows"][blocks].sum())
        assert counts.n_column_outputs == n_images * n_pixels * int(actors["n_columns"][blocks].sum())
        assert counts.stream_bytes == counts.n_row_inputs + counts.n_column_outputs
    total = sum(use.counts.values(), start=type(counts)())
    assert total.port_bytes == int(trace["port_totals"]["n_bytes"].sum())
    hbm_ports = trace["ports"]["level"][trace["port_totals"]["port"]] == "HBM link"
    assert total.hbm_bytes == int(trace["port_totals"]["n_bytes"][hbm_ports].sum())
    assert total.cluster_ps == 16 * golden.timing.throughput.makespan_ps
    assert use.total_pj == pytest.approx(sum(sum(parts.values()) for parts in use.energy_pj.values()))


def test_the_critical_path_covers_the_makespan_without_a_gap(golden: FigureData) -> None:
    path, timing = golden.timing.path, golden.timing.throughput
    reached = timing.begin_ps
    for step in path.steps:
        assert step.begin_ps == reached
        assert step.end_ps > step.begin_ps
        reached = step.end_ps
    assert reached == timing.begin_ps + timing.makespan_ps
    assert sum(path.share_by_kind.values()) == pytest.approx(1)
    assert sum(path.share_by_layer.values()) == pytest.approx(1)
    columns = (golden.trace["firings"][name].tolist() for name in ("actor", "start_ps", "end_ps"))
    firings = set(zip(*columns, strict=True))
    computed = [step for step in path.steps if step.kind in ("analog", "digital")]
    assert computed
    assert all((step.actor, step.begin_ps, step.end_ps) in firings for step in computed)


def test_the_network_has_carried_what_channels_say(golden: FigureData) -> None:
    network, trace = golden.timing.network, golden.trace
    assert sum(level.n_bytes for level in network.levels) == int(trace["port_totals"]["n_bytes"].sum())
    latencies = network.latencies
    assert latencies.n_transfers == len(trace["transfers"]) == int(latencies.n_in_bin.sum())
    travel = trace["transfers"]["end_ps"] - trace["transfers"]["start_ps"]
    assert latencies.travelled_ps == int(travel.sum())
    assert latencies.held_ps == int((trace["transfers"]["start_ps"] - trace["transfers"]["ready_ps"]).sum())
    assert latencies.contention_ps is not None
    assert 0 <= latencies.contention_ps < latencies.travelled_ps
    for share in (0.5, 0.9, 0.99):
        exact = np.quantile(travel, share, method="inverted_cdf")
        assert exact <= latencies.quantile_ps(share) <= exact * 2 ** (1 / 16) * 1.001
    hbm_bytes = network.hbm_bytes_per_second.sum() * golden.timing.throughput.makespan_ps / 1e12 / 400
    ports = trace["port_totals"]
    assert hbm_bytes == pytest.approx(int(ports["n_bytes"][trace["ports"]["level"][ports["port"]] == "HBM link"].sum()))


def test_queues_hold_tokens_from_their_making_to_their_arrival(golden: FigureData) -> None:
    trace, timing = golden.trace, golden.timing.throughput
    waiting = tokens_waiting(trace, golden.records, timing, n_queues=100)
    channels, actors = trace["channels"], trace["actors"]
    channel, ready, end = (trace["transfers"][name] for name in ("channel", "ready_ps", "end_ps"))
    made_here = actors["kind"][channels["producer"][channel]] != ActorKind.INPUT
    taker = actors["layer"][channels["consumer"][channel]]
    assert max(values.mean() for values in waiting.values()) == next(iter(waiting.values())).mean()
    for layer, name in enumerate(trace["layers"]["name"].tolist()):
        own = made_here & (taker == layer)
        total_ps = waiting[name].mean() * timing.makespan_ps if name in waiting else 0
        assert total_ps == pytest.approx(int((end - ready)[own].sum()), abs=1)


def test_the_shares_of_the_caption_add_up_as_they_are_written(golden: FigureData) -> None:
    work, analog, digital, _ = map(float, re.findall(r"([\d.]+)%", on_time_breakdown(golden)))
    assert work == pytest.approx(analog + digital, abs=1e-9)


def test_slowest_stages_stay_indented_where_lines_are_short(golden: FigureData) -> None:
    text = report_to_text(golden.report, width=60)
    lines = text[text.index("Slowest stages") :].splitlines()[1:]
    assert len(lines) > 4 * len(golden.timing.stages)  # some are broken
    assert all(re.match(r"\d\. |   \S", line) for line in lines if line.strip())
    assert max(map(len, lines)) <= 60


@pytest.mark.parametrize(("low", "high"), [(28, 45), (80, 460), (9, 3_000)])
def test_logarithmic_axes_have_plain_numbers_that_differ(low: float, high: float) -> None:
    with styled():
        axes = new_figure(2.8).add_subplot()
        axes.set_xscale("log")
        axes.set_xlim(low, high)
        label_log_x(axes)
        texts = [text.get_text() for text in axes.get_xticklabels() if text.get_text()]
        minor = [text.get_text() for text in axes.get_xticklabels(minor=True)]
    shown = [float(text.replace(",", "")) for text in texts]
    assert sum(low <= value <= high for value in shown) >= 2
    assert len(set(shown)) == len(shown)
    assert not any(minor)


def test_the_timeline_names_the_colour_of_clusters_that_do_both(golden: FigureData) -> None:
    with styled():
        (legend,) = draw_timeline(golden).legends
    colors = [np.array(to_rgb(handle.get_color())) for handle in legend.legend_handles]
    assert colors[2].tolist() == pytest.approx((colors[0] * colors[1]).tolist())
    assert legend.get_texts()[2].get_text().startswith("both busy")


def test_every_layer_group_has_its_name_below_the_breakdown(golden: FigureData) -> None:
    with styled():
        (axes,) = draw_time_breakdown(golden).axes
    assert {text.get_text() for text in axes.texts} >= {group.name for group in golden.timing.groups}


def test_every_queue_has_a_panel_of_its_own(golden: FigureData) -> None:
    waiting = tokens_waiting(golden.trace, golden.records, golden.timing.throughput, N_QUEUES)
    with styled():
        figure = draw_queues(golden)
    assert figure is not None
    assert [axes.texts[0].get_text() for axes in figure.axes] == [f"to {name}" for name in waiting]


def test_every_figure_is_drawn_at_page_width_with_something_in_it(golden: FigureData, tmp_path: Path) -> None:
    drawn = draw_figures(golden, tmp_path / "figures")
    assert [path.stem for path in drawn] == list(FIGURES)
    for path in drawn:
        with Image.open(path) as picture:
            assert picture.width == 1420
            colors = picture.convert("RGB").getcolors(1 << 20)
        assert colors is not None
        n_white = sum(count for count, color in colors if color == (255, 255, 255))
        assert n_white < 0.97 * picture.width * picture.height, path
        assert len(colors) > 20, path
