"""The critical path of traces that can be followed on paper."""

from pathlib import Path

from support.traces import ROWS, US, write_trace

from traces.analysis.critical_path import CriticalPath, Step, find_critical_path
from traces.analysis.records import order_records
from traces.analysis.throughput import measure_throughput
from traces.reader import Trace
from traces.schema import Cause


def path_of(folder: Path, **rows: list[tuple[int, ...]]) -> CriticalPath:
    with Trace(write_trace(folder, [{**ROWS, **rows}])) as trace:
        return find_critical_path(trace, order_records(trace), measure_throughput(trace))


def test_the_path_leads_over_both_products_the_reduction_and_the_transfer(tmp_path: Path) -> None:
    path = path_of(tmp_path)
    assert path.steps == (
        Step("analog", 1, 0, 10 * US),
        Step("analog", 1, 10 * US, 20 * US),
        Step("digital", 2, 20 * US, 24 * US),
        Step("transfer", 2, 24 * US, 25 * US),
        Step("digital", 3, 25 * US, 27 * US),
        Step("other", 4, 27 * US, 28 * US),
    )
    assert path.share_by_kind["analog"] == 20 / 28
    assert list(path.share_by_layer) == ["conv", "add", "scores"]
    assert path.share_by_layer["conv"] == 25 / 28


def test_a_token_that_waits_is_held(tmp_path: Path) -> None:
    transfers = [ROWS["transfers"][0], (2, 1, 0, 22 * US, 24 * US, 25 * US)]
    firings = [list(row) for row in ROWS["firings"]]
    firings[5][4] = 22 * US
    path = path_of(tmp_path, transfers=transfers, firings=[tuple(row) for row in firings])
    assert Step("held", 2, 22 * US, 24 * US) in path.steps


def test_a_wait_for_room_leads_to_the_firing_that_gave_it(tmp_path: Path) -> None:
    # The reduction waits for its first token to leave, which left late because the addition was busy until 20 us.
    firings = [list(row) for row in ROWS["firings"]]
    firings[5][3:] = [22 * US, 24 * US, int(Cause.ROOM), 2]
    firings[6][3:5] = [15 * US, 20 * US]
    transfers = [(2, 0, 0, 14 * US, 20 * US, 21 * US), (2, 1, 0, 24 * US, 24 * US, 25 * US)]
    path = path_of(tmp_path, transfers=transfers, firings=[tuple(row) for row in firings])
    kinds = [(step.kind, step.actor, step.end_ps // US) for step in path.steps]
    assert kinds[-7:] == [
        ("digital", 3, 20), ("transfer", 2, 21), ("waiting", 2, 22), ("digital", 2, 24), ("transfer", 2, 25),
        ("digital", 3, 27), ("other", 4, 28),
    ]  # fmt: skip


def test_what_cannot_be_explained_is_said(tmp_path: Path) -> None:
    firings = [list(row) for row in ROWS["firings"]]
    for row in firings:
        row[5], row[6] = int(Cause.NONE), -1
    path = path_of(tmp_path, firings=[tuple(row) for row in firings])
    assert path.steps == (Step("other", 4, 0, 27 * US), Step("other", 4, 27 * US, 28 * US))
    assert sum(path.share_by_kind.values()) == 1
