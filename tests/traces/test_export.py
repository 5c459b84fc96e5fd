"""Traces in other tools' formats: read back with those tools' own libraries."""

import gzip
import json
import sys
from collections import defaultdict
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import polars as pl
import pytest
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace as PerfettoTrace
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import TrackEvent
from support.traces import write_trace

from traces.analysis.records import Records
from traces.errors import TraceError
from traces.export.chrome_trace import write_chrome
from traces.export.files import Format, write_files
from traces.export.frames import time_account_to_xarray, to_pandas, to_polars, to_xarray
from traces.export.perfetto_trace import write_perfetto
from traces.export.slices import WHOLE, Slices, Window, parse_window, port_counters
from traces.plots.data import FigureData
from traces.reader import Trace
from traces.schema import STREAMED_TABLES, ActorKind, Cause


def perfetto(trace: Trace, records: Records, window: Window, path: Path) -> PerfettoTrace:
    write_perfetto(Slices(trace, records, window), port_counters(trace, records, window), path)
    read = PerfettoTrace()
    read.ParseFromString(path.read_bytes())
    return read


def test_perfetto_shows_every_firing_on_its_track_and_every_transfer_as_a_flow(
    golden: FigureData, tmp_path: Path
) -> None:
    read = perfetto(golden.trace, golden.records, WHOLE, tmp_path / "a.pftrace")
    tracks = {p.track_descriptor.uuid: p.track_descriptor for p in read.packet if p.HasField("track_descriptor")}
    open_at: dict[int, tuple[int, str]] = {}
    slices, flows_out, flows_in = defaultdict(int), [], []
    begun_ns: dict[int, int] = {}
    for packet in read.packet:
        event = packet.track_event
        if not packet.HasField("track_event") or event.type == TrackEvent.TYPE_COUNTER:
            continue
        flows_out += [(flow, packet.timestamp) for flow in event.flow_ids]
        flows_in += [(flow, packet.timestamp) for flow in event.terminating_flow_ids]
        if event.type == TrackEvent.TYPE_SLICE_BEGIN:
            assert event.track_uuid not in open_at, "firings of one unit must not overlap"
            open_at[event.track_uuid] = packet.timestamp, event.name
            begun_ns[event.track_uuid] = packet.timestamp
        elif event.type == TrackEvent.TYPE_SLICE_END:
            began, name = open_at.pop(event.track_uuid)
            slices[name, began, packet.timestamp] += 1
        else:
            slices[event.name, packet.timestamp, packet.timestamp] += 1
    assert not open_at
    firings, names = golden.trace["firings"], golden.trace["actors"]["name"]
    columns = (firings["actor"], firings["start_ps"] // 1000, firings["end_ps"] // 1000)
    expected: dict[tuple[str, int, int], int] = defaultdict(int)
    for actor, start, end in zip(*(column.tolist() for column in columns), strict=True):
        expected[names[actor], start, end] += 1
    assert slices == expected
    assert len(flows_out) == len(flows_in) == len(golden.trace["transfers"])
    assert {flow for flow, _ in flows_out} == {flow for flow, _ in flows_in}
    left = dict(flows_out)
    assert all(left[flow] <= arrived for flow, arrived in flows_in)
    parents = {tracks[track.parent_uuid].name for track in tracks.values() if track.name == "IMA"}
    assert "cluster 0: stem" in parents
    assert any(track.HasField("counter") for track in tracks.values())


def test_a_window_shows_what_reaches_into_it(golden: FigureData, tmp_path: Path) -> None:
    window = Window(100_000_000, 150_000_000)
    read = perfetto(golden.trace, golden.records, window, tmp_path / "a.pftrace")
    n_shown = sum(
        p.track_event.type in (TrackEvent.TYPE_SLICE_BEGIN, TrackEvent.TYPE_INSTANT)
        for p in read.packet
        if p.HasField("track_event")
    )
    start, end = (golden.trace["firings"][name] for name in ("start_ps", "end_ps"))
    assert 0 < n_shown == int(((end >= window.begin_ps) & (start < window.end_ps)).sum()) < len(start)
    begun, ended = (
        sorted(flow for p in read.packet if p.HasField("track_event") for flow in getattr(p.track_event, name))
        for name in ("flow_ids", "terminating_flow_ids")
    )
    assert begun == ended != []  # no half flows at the edges


def test_chrome_json_holds_the_same_firings(golden: FigureData, tmp_path: Path) -> None:
    write_chrome(
        Slices(golden.trace, golden.records, WHOLE),
        port_counters(golden.trace, golden.records, WHOLE),
        tmp_path / "a.gz",
    )
    with gzip.open(tmp_path / "a.gz", "rt") as file:
        events = json.load(file)["traceEvents"]
    firings = [event for event in events if event["ph"] == "X"]
    assert len(firings) == len(golden.trace["firings"])
    assert sum(event["dur"] for event in firings) == pytest.approx(
        int((golden.trace["firings"]["end_ps"] - golden.trace["firings"]["start_ps"]).sum()) / 1e6
    )
    assert sum(event["ph"] == "s" for event in events) == len(golden.trace["transfers"])
    shares = [event["args"]["%"] for event in events if event["ph"] == "C"]
    assert max(shares) > 0
    assert min(shares) >= -0.01


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("0.5ms..1.2 ms", Window(500_000_000, 1_200_000_000)),
        ("..3us", Window(0, 3_000_000)),
        ("0 ns..", Window(0, WHOLE.end_ps)),
    ],
)
def test_windows_are_read(text: str, window: Window) -> None:
    assert parse_window(text) == window


@pytest.mark.parametrize("text", ["5ms", "1..2", "2ms..1ms", "a..b", "1ms..2 parsec"])
def test_what_is_no_window_is_refused(text: str) -> None:
    with pytest.raises(TraceError, match="--window: expected"):
        parse_window(text)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_files_hold_every_row_of_every_table(
    golden: FigureData, tmp_path: Path, form: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("traces.export.files._ROWS_AT_ONCE", 100)  # several batches
    written = write_files(golden.trace, tmp_path / "out", form)
    read = {"csv": pd.read_csv, "parquet": pd.read_parquet}[form]
    tables = {path.stem: read(path) for path in written if path.suffix != ".json"}
    assert {"firings", "transfers", "routes", "layers", "outputs"} <= set(tables)
    for table, frame in tables.items():
        for name in frame.columns:
            assert frame[name].tolist() == golden.trace[table][name].tolist(), (table, name)
    attributes = json.loads((tmp_path / "out/attributes.json").read_text())
    assert attributes["digest"] == golden.trace.attribute("digest")


def test_data_frames_have_whole_columns_and_names_for_enumerations(golden: FigureData) -> None:
    trace = golden.trace
    pandas, polars = to_pandas(trace, "firings"), to_polars(trace, "firings")
    assert list(pandas.columns) == polars.columns == [column.name for column in STREAMED_TABLES["firings"]]
    assert pandas["start_ps"].tolist() == polars["start_ps"].to_list() == trace["firings"]["start_ps"].tolist()
    names = [Cause(cause).name for cause in trace["firings"]["cause"].tolist()]
    assert pandas["cause"].tolist() == polars["cause"].to_list() == names
    assert isinstance(polars["cause"].dtype, pl.Enum)
    actors = to_pandas(trace, "actors", "name", "kind")
    assert list(actors.columns) == ["name", "kind"]
    assert (actors["kind"] == ActorKind.MVM.name).sum() == int((trace["actors"]["kind"] == ActorKind.MVM).sum())
    assert to_polars(trace, "layers", "name")["name"].to_list() == trace["layers"]["name"].tolist()
    dataset = to_xarray(trace, "transfers")
    assert dataset["end_ps"].attrs["units"] == "ps"
    assert int(dataset["end_ps"].max()) == int(trace["transfers"]["end_ps"].max())
    account = time_account_to_xarray(golden.timing.account)
    assert np.array_equal(account.sum("cause"), np.full(len(account["cluster"]), golden.timing.account.makespan_ps))
    assert int(account.sel(cluster=0, cause="analog")) == int(golden.timing.account.time_ps[0, 0])


def test_a_library_that_is_missing_is_named_with_the_extra_that_brings_it(
    golden: FigureData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("pandas", "polars", "xarray", "pyarrow", "perfetto.trace_builder.proto_builder"):
        monkeypatch.setitem(sys.modules, module, None)
    slices = Slices(golden.trace, golden.records, WHOLE)
    for needing in (
        lambda: to_pandas(golden.trace, "layers"),
        lambda: to_polars(golden.trace, "layers"),
        lambda: to_xarray(golden.trace, "layers"),
        lambda: write_files(golden.trace, tmp_path, "csv"),
        lambda: write_perfetto(slices, [], tmp_path / "a.pftrace"),
    ):
        with pytest.raises(TraceError, match=r"is not installed: pip install 'aimc-emulator\[export\]'"):
            needing()


def test_damage_and_absent_attributes_are_no_failure_to_write(tmp_path: Path) -> None:
    path = write_trace(tmp_path)
    with h5py.File(path, "r+") as file:
        del file.attrs["devices_hash"]  # as in traces of version 1
        chunk = file["parts/0/firings/end_ps"].id.get_chunk_info(0)
    with Trace(path) as trace:
        write_files(trace, tmp_path / "csv", "csv")
    assert "devices_hash" not in json.loads((tmp_path / "csv/attributes.json").read_text())
    with path.open("r+b") as raw:
        raw.seek(chunk.byte_offset)
        raw.write(b"\xff" * chunk.size)
    with Trace(path) as trace, pytest.raises(TraceError, match=r"^\S+trace.h5: firings/end_ps cannot be read: "):
        write_files(trace, tmp_path / "again", "csv")


def test_what_cannot_be_written_is_one_clear_error(golden: FigureData, tmp_path: Path) -> None:
    slices = Slices(golden.trace, golden.records, WHOLE)
    (tmp_path / "file").touch()
    with pytest.raises(TraceError, match="cannot be written"):
        write_perfetto(slices, [], tmp_path / "nowhere" / "a.pftrace")
    with pytest.raises(TraceError, match="cannot be written"):
        write_chrome(slices, [], tmp_path / "nowhere" / "a.gz")
    with pytest.raises(TraceError, match="cannot be written"):
        write_files(golden.trace, tmp_path / "file" / "out", "csv")
