"""Where time went: against a count of instants, and exactly the makespan on real runs."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.traces import ROWS, US, write_trace

from traces.analysis.accounting import CAUSES, TimeAccount, account_time
from traces.analysis.chip import ChipFacts, read_chip_text
from traces.analysis.records import order_records
from traces.analysis.throughput import measure_throughput
from traces.reader import Trace
from traces.schema import Cause

CHIP = (Path(__file__).parents[2] / "configs/chips/small16.yaml").read_text()
SYNC = "synchronization: 100 cycles"
IMA_ACTOR, CORE_ACTOR, OTHER_ACTOR = 1, 2, 3  # of the small trace: two on cluster 0, one on cluster 1


def chip_with_synchronization(n_cycles: int) -> ChipFacts:
    assert SYNC in CHIP
    return read_chip_text(CHIP.replace(SYNC, f"synchronization: {n_cycles} cycles"), "here")


def account(trace: Trace, n_sync_cycles: int) -> TimeAccount:
    chip = chip_with_synchronization(n_sync_cycles)
    return account_time(trace, order_records(trace), measure_throughput(trace), chip)


def test_the_small_trace_adds_up_as_on_paper(tmp_path: Path) -> None:
    with Trace(write_trace(tmp_path)) as trace:
        found = account(trace, 1000)  # a cycle is 1 ns: 1 us of each firing
    names = dict(zip(CAUSES, range(7), strict=True))
    first, second = found.time_ps.tolist()
    # Cluster 0: IMA 0 to 20, cores 10 to 14 and 20 to 24 us; then nothing. The IMA wakes from 0 to 1 us, when the cores
    # sleep, and from 10 to 11 us, when they wake, too; the cores wake from 20 to 21 us.
    assert first[names["synchronization"]] == 3 * US
    assert first[names["analog"]] == 18 * US
    assert first[names["digital"]] == 3 * US
    assert first[names["sleep"]] == 4 * US
    # Cluster 1: waits for a token made at 14 us, which travels until 15 us, and for one made at 24 us.
    assert second[names["digital"]] == second[names["synchronization"]] == 2 * US
    assert second[names["communication"]] == 2 * US
    assert second[names["input"]] == 14 * US + 7 * US
    assert second[names["sleep"]] == US
    assert found.time_ps.sum(axis=1).tolist() == [28 * US] * 2
    assert found.layer.tolist() == [0, 1]
    assert found.of_layers(2).tolist() == [first, second]


def test_a_wait_for_room_is_communication_while_the_token_leaves(tmp_path: Path) -> None:
    rows = [list(row) for row in ROWS["firings"]]
    rows[5][3:] = [23 * US, 24 * US, int(Cause.ROOM), 2]  # the second reduction waits until the first token has left
    transfers = [(2, 0, 0, 14 * US, 21 * US, 22 * US), (2, 1, 0, 24 * US, 24 * US, 25 * US)]
    tables = {**ROWS, "firings": [tuple(row) for row in rows], "transfers": transfers}
    with Trace(write_trace(tmp_path, [tables])) as trace:
        shares = dict(zip(CAUSES, account(trace, 0).time_ps[0].tolist(), strict=True))
    # The IMA works until 20 us, so the cluster idles from 20 to 23 us; the token waits for its consumer until 21 us.
    assert shares["communication"] == 2 * US
    assert shares["consumers"] == US


def oracle(
    firings: list[tuple[int, ...]], transfers: list[tuple[int, ...]], cluster: int, sync: int, makespan: int
) -> list[int]:
    """Decide for every instant on its own."""
    members = {IMA_ACTOR, CORE_ACTOR} if cluster == 0 else {OTHER_ACTOR}
    own = sorted((f[3], f[4], f[0], f[5], f[6]) for f in firings if f[0] in members)
    shares = [0] * 7
    both = 0
    for t in range(makespan):
        busy = [f for f in own if f[0] <= t < f[1]]
        working = {f[2] == IMA_ACTOR for f in busy if t >= f[0] + sync}
        later = [f for f in own if f[0] > t]
        if working == {True, False}:
            both += 1
        elif working:
            shares[0 if True in working else 1] += 1
        elif busy:
            shares[3] += 1
        elif not later:
            shares[6] += 1
        else:
            start, _, _, cause, channel = later[0]
            arrived = [tr for tr in transfers if tr[0] == channel and tr[5] <= start]
            last = max(arrived, key=lambda tr: tr[5]) if arrived else None
            if cause not in (Cause.INPUT, Cause.ROOM):
                shares[6] += 1
            elif last and t >= last[3 if cause == Cause.INPUT else 4]:
                shares[2] += 1
            else:
                shares[4 if cause == Cause.INPUT else 5] += 1
    shares[0 if shares[0] >= shares[1] else 1] += both
    return shares


@settings(max_examples=40, deadline=None)
@given(data=st.data(), sync=st.integers(0, 4))
def test_shares_equal_a_count_of_instants(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, sync: int
) -> None:
    firings = []
    for actor in (IMA_ACTOR, CORE_ACTOR, OTHER_ACTOR):
        now = 0
        for phase in range(data.draw(st.integers(0, 4))):
            now += data.draw(st.integers(0, 8))
            end = now + data.draw(st.integers(1, 8))
            cause = data.draw(st.sampled_from([Cause.INPUT, Cause.ROOM, Cause.ACTOR]))
            firings.append((actor, 0, phase, now, end, int(cause), data.draw(st.integers(0, 3))))
            now = end
    ends = sorted(data.draw(st.sets(st.integers(2, 60), max_size=6)))  # two tokens never arrive together
    lengths = st.tuples(st.integers(0, 9), st.integers(0, 9)).map(sorted)
    times = [(end, *(max(0, end - length) for length in data.draw(lengths))) for end in ends]
    transfers = [(2 + i % 2, 0, i, ready, start, end) for i, (end, start, ready) in enumerate(times)]
    makespan = 70
    # The clock of the small trace has 1000 ps; everything here is in whole cycles.
    rows = [(*f[:3], f[3] * 1000, f[4] * 1000, *f[5:]) for f in firings]
    rows += [(0, image, 0, 0, 0, 0, -1) for image in (0, 1)]
    rows += [(4, image, 0, makespan * 1000, makespan * 1000, int(Cause.ACTOR), -1) for image in (0, 1)]
    moved = [(*t[:3], *(1000 * time for time in t[3:])) for t in transfers]
    folder = tmp_path_factory.mktemp("any")
    with Trace(write_trace(folder, [{**ROWS, "firings": rows, "transfers": moved}])) as trace:
        found = account(trace, sync).time_ps // 1000
    assert found.tolist() == [oracle(firings, transfers, cluster, sync, makespan) for cluster in (0, 1)]


def test_shares_stay_exact_over_long_times(tmp_path: Path) -> None:
    factor = 10**6
    tables = {
        table: [tuple(v * factor if i in times else v for i, v in enumerate(row)) for row in ROWS[table]]
        for table, times in (("firings", (3, 4)), ("transfers", (3, 4, 5)))
    }
    with Trace(write_trace(tmp_path, [{**ROWS, **tables}])) as trace:
        found = account(trace, 0)
    assert found.time_ps.dtype == np.int64
    assert found.time_ps.sum(axis=1).tolist() == [28 * US * factor] * 2
