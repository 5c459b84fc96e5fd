"""Ordering records: the same whatever their order in the file, the chunks and where columns are kept."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.traces import ROWS, write_trace

from traces.analysis import records
from traces.analysis.intervals import union_ps
from traces.analysis.network import spread
from traces.reader import Trace


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 50)), max_size=40),
    n_at_once=st.integers(1, 50),
    limit=st.sampled_from([0, 1 << 20]),
)
def test_firings_come_by_actor_in_the_order_of_time(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, int]], n_at_once: int, limit: int
) -> None:
    firings = [(actor, 0, i, start, start + i, i % 5, i % 2 - 1) for i, (actor, start) in enumerate(rows)]
    with (
        Trace(write_trace(tmp_path_factory.mktemp("any"), [{**ROWS, "firings": firings}])) as trace,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(records, "_IN_MEMORY_BYTES", limit)  # zero: columns lie in files
        ordered = records._order(trace["firings"], "actor", 5, records.FIRING_COLUMNS, n_at_once)
        assert len(ordered) == len(rows)
        for actor in range(5):
            expected = sorted((f for f in firings if f[0] == actor), key=lambda f: f[3])
            for name, field in zip(records.FIRING_COLUMNS, (3, 4, 5, 6), strict=True):
                assert ordered.rows(actor, name).tolist() == [f[field] for f in expected]
        both = ordered.gather([3, 1], "start_ps").tolist()
        assert both == [*ordered.rows(3, "start_ps"), *ordered.rows(1, "start_ps")]
        assert ordered.owners([3, 1]).tolist() == [3] * len(ordered.rows(3, "cause")) + [1] * (
            len(ordered.rows(1, "cause"))
        )


def test_gathering_from_nobody_gives_nothing(tmp_path: Path) -> None:
    with Trace(write_trace(tmp_path)) as trace:
        assert len(records.order_records(trace).firings.gather([], "start_ps")) == 0


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 15)), max_size=12))
def test_a_union_is_as_long_as_the_instants_that_it_covers(intervals: list[tuple[int, int]]) -> None:
    start = np.array([begin for begin, _ in intervals], np.int64)
    end = start + np.array([length for _, length in intervals], np.int64)
    covered = {t for begin, length in intervals for t in range(begin, begin + length)}
    assert union_ps(start, end) == len(covered)


@given(st.lists(st.tuples(st.floats(0, 9), st.floats(0.01, 5), st.floats(0, 100)), min_size=1, max_size=10))
def test_what_is_spread_over_bins_adds_up_and_lies_where_it_should(parts: list[tuple[float, float, float]]) -> None:
    start, length, amount = (np.array(column) for column in zip(*parts, strict=True))
    n_bins = 15
    bins = spread(start, start + length, amount, n_bins)
    assert bins.sum() == pytest.approx(amount.sum(), abs=1e-6)
    for i in range(n_bins):
        overlap = np.clip(np.minimum(start + length, i + 1) - np.maximum(start, i), 0, None)
        assert bins[i] == pytest.approx((amount * overlap / length).sum(), abs=1e-6)
