"""What layer groups hold of the chip, and that none does more per area than a cluster can."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.traces import US, header, write_trace

from traces.analysis.chip import ChipFacts, read_chip_text
from traces.analysis.groups import LayerGroup
from traces.reader import Trace
from traces.report import make_report
from traces.schema import Header

CHIP = (Path(__file__).parents[2] / "configs/chips/bruschi2023.yaml").read_text(encoding="utf-8")
N_LAYERS = 3
PERIOD_US = 100

#: A layer and how many microseconds one image takes on a unit.
Work = tuple[int, int]


def groups_of(
    folder: Path, monkeypatch: pytest.MonkeyPatch, imas: list[Work | None], cores: list[Work | None]
) -> tuple[LayerGroup, ...]:
    """Return the groups of a run of two images: a layer a group, an IMA and cores a cluster, every crossbar full."""
    units = [(site, 1, *work) for site, work in enumerate(imas) if work]
    units += [(site, 2, *work) for site, work in enumerate(cores) if work]
    changed: Header = header()
    changed.attributes.update(plane="timing", chip_file=CHIP, n_clusters=len(imas))
    peak_macs_per_us = facts().peak_ops_per_second / 2e6
    macs = [int(peak_macs_per_us * sum(us for own, us in filter(None, imas) if own == i)) for i in range(N_LAYERS)]
    sizes = list(range(1, N_LAYERS + 1))
    changed.tables["layers"] = {
        "name": [f"layer{i}" for i in range(N_LAYERS)],
        "op": ["conv"] * N_LAYERS,
        "macs": macs,
        "n_crossbars": [1] * N_LAYERS,
        "output_height": sizes,
        "output_width": sizes,
        "output_channels": [8] * N_LAYERS,
    }
    n = len(units) + 2  # the image and the scores, too
    zeros = {name: [0] * n for name in ("row_block", "column_block", "stage", "n_rows", "n_columns", "n_jobs")}
    changed.tables["actors"] = {
        **zeros,
        "name": [f"actor{i}" for i in range(n)],
        "kind": [0, *(1 if unit[1] == 1 else 2 for unit in units), 7],
        "layer": [-1, *(unit[2] for unit in units), -1],
        "site": [len(imas), *(unit[0] for unit in units), len(imas)],
        "resource": [0, *(unit[1] for unit in units), 0],
        "n_firings": [1] * n,
        "core_cycles": [0] * n,
    }
    links = {"producer": list(range(n - 1)), "consumer": list(range(1, n))}
    changed.tables["channels"] = {
        **links,
        "n_tokens": [1] * (n - 1),
        "n_bytes": [8] * (n - 1),
        "capacity": [2] * (n - 1),
    }
    changed.tables["routes"] = {"channel": [], "port": []}
    monkeypatch.setattr("support.traces.header", lambda _plane: changed)
    firings = []
    for image in (0, 1):
        begin, end = image * PERIOD_US * US, (image + 1) * PERIOD_US * US
        firings.append((0, image, 0, begin, begin, 0, -1))
        firings += [(i, image, 0, begin, begin + us * US, 2, i - 1) for i, (*_, us) in enumerate(units, start=1)]
        firings.append((n - 1, image, 0, end, end, 2, n - 2))
    rows = {"firings": firings, "transfers": [], "outputs": [], "checksums": []}
    with Trace(write_trace(folder, [rows])) as trace:
        timing = make_report(trace).timing
    assert timing is not None
    return timing.groups


def facts() -> ChipFacts:
    return read_chip_text(CHIP, "here")


WORK = st.none() | st.tuples(st.integers(0, N_LAYERS - 1), st.integers(1, PERIOD_US))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(units=st.lists(st.tuples(WORK, WORK), min_size=1, max_size=5).filter(lambda units: any(map(any, units))))
def test_no_group_does_more_per_area_than_a_cluster_can(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    units: list[tuple[Work | None, Work | None]],
) -> None:
    imas, cores = ([unit[i] for unit in units] for i in (0, 1))
    groups = groups_of(tmp_path_factory.mktemp("run"), monkeypatch, imas, cores)
    area = facts().area
    assert area is not None
    peak = facts().peak_ops_per_second / 1e9 / area.cluster_mm2
    for group in groups:
        assert (group.gops_per_mm2 is None) == (group.n_clusters_held == 0)
        if group.macs:
            assert group.gops_per_mm2 is not None
            assert group.gops_per_mm2_alone is not None
            assert 0 < group.gops_per_mm2 <= group.gops_per_mm2_alone * (1 + 1e-9)
            assert group.gops_per_mm2_alone <= peak * (1 + 1e-9)
    working = sum(any(unit) for unit in units)
    assert sum(group.n_clusters_held for group in groups) == pytest.approx(working)


def test_a_cluster_belongs_to_its_crossbar_whoever_uses_its_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Layer 0 has two crossbars; on one of these clusters layer 1 is a guest that works longer. On the last cluster only
    # cores work, for layer 1.
    imas, cores = [(0, 10), (0, 10), None], [None, (1, 50), (1, 30)]
    first, second, _ = groups_of(tmp_path, monkeypatch, list(imas), list(cores))
    assert (first.n_clusters, first.n_clusters_held) == (1, 2)
    assert (second.n_clusters, second.n_clusters_held) == (2, 1)
    assert first.busiest_ps == 20 * US
    assert second.busiest_ps == 100 * US
    area = facts().area
    assert area is not None
    assert first.gops_per_mm2_alone == pytest.approx(facts().peak_ops_per_second / 1e9 / area.cluster_mm2)
    assert first.gops_per_mm2 == pytest.approx(first.gops_per_mm2_alone / 10)
