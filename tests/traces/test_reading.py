"""Reading a trace: pieces of columns, damage, versions, and no more imports than needed."""

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from support.traces import FIRINGS, write_trace

from traces import reader, schema
from traces.errors import TraceError
from traces.reader import Trace

GOLDEN = Path(__file__).parent / "golden/tiny.h5"


def test_columns_are_read_in_pieces(tmp_path: Path) -> None:
    with Trace(write_trace(tmp_path)) as trace:
        firings = trace["firings"]
        ends = [row[4] for row in FIRINGS]
        assert firings.read("end_ps", 3, 6).tolist() == ends[3:6]
        assert firings.read("end_ps", 8).tolist() == ends[8:]
        pieces = list(firings.chunks("actor", "end_ps", n_records=4))
        assert [len(actor) for actor, _ in pieces] == [4, 4, 2]
        assert np.concatenate([end_ps for _, end_ps in pieces]).tolist() == ends
        assert trace["layers"].read("name", 1, 2).tolist() == ["add"]


def test_what_is_not_there_is_said_by_name(tmp_path: Path) -> None:
    with Trace(write_trace(tmp_path)) as trace:
        with pytest.raises(TraceError, match="no table firing; there are layers, actors"):
            trace["firing"]
        with pytest.raises(TraceError, match="table firings has no column end; it has actor, "):
            trace["firings"]["end"]
        with pytest.raises(TraceError, match="no attribute speed; there are "):
            trace.attribute("speed")


@pytest.mark.parametrize("missing", ["firings", "actors/kind", "ranks/host"])
def test_a_trace_that_lacks_a_part_is_damaged(tmp_path: Path, missing: str) -> None:
    path = write_trace(tmp_path)
    with h5py.File(path, "r+") as file:
        del file[missing]
    with pytest.raises(TraceError, match=f"{missing}.* is missing: the trace is damaged"):
        Trace(path)


def test_columns_of_different_lengths_are_damage(tmp_path: Path) -> None:
    path = write_trace(tmp_path)
    with h5py.File(path, "r+") as file:
        del file["actors/stage"]
        file["actors/stage"] = np.zeros(3, np.int32)
    with pytest.raises(TraceError, match="columns of actors differ in length"):
        Trace(path)


def test_a_lost_column_of_a_part_does_not_pass_for_zeros(tmp_path: Path) -> None:
    path = write_trace(tmp_path)
    with h5py.File(path, "r+") as file:
        del file["parts/0/firings/end_ps"]
    with Trace(path) as trace:
        assert trace.compute_digest() != trace.attribute("digest")


def test_damaged_chunks_are_one_clear_error(tmp_path: Path) -> None:
    path = write_trace(tmp_path)
    with h5py.File(path, "r") as file:
        chunk = file["parts/0/firings/end_ps"].id.get_chunk_info(0)
    with path.open("r+b") as raw:
        raw.seek(chunk.byte_offset)
        raw.write(b"\xff" * chunk.size)
    with Trace(path) as trace:
        with pytest.raises(TraceError, match=r"firings/end_ps cannot be read: .*: the trace is damaged"):
            trace["firings"]["end_ps"]
        with pytest.raises(TraceError, match="records cannot be read"):
            trace.compute_digest()


@pytest.mark.parametrize(
    "column",
    [f"{table}/{column.name}" for table in ("layers", "actors", "ports", "ranks") for column in schema.TABLES[table]],
)
def test_a_flipped_bit_of_a_name_or_a_number_is_one_clear_error(tmp_path: Path, column: str) -> None:
    path, (table, name) = write_trace(tmp_path), column.split("/")
    with h5py.File(path, "r") as file:
        chunk = file[column].id.get_chunk_info(0)
    damaged = bytearray(path.read_bytes())
    damaged[chunk.byte_offset] ^= 1
    path.write_bytes(damaged)
    with Trace(path) as trace, pytest.raises(TraceError, match=rf"{column} cannot be read: .*: the trace is damaged"):
        trace[table][name]


@pytest.mark.parametrize("seed", range(40))
def test_a_trace_with_broken_bytes_is_whole_or_one_clear_error(tmp_path: Path, seed: int) -> None:
    whole, path = GOLDEN.read_bytes(), tmp_path / "trace.h5"
    draw, broken = np.random.default_rng(seed), np.frombuffer(whole, np.uint8).copy()
    places = draw.integers(len(whole), size=200)
    broken[places] ^= draw.integers(1, 256, size=200).astype(np.uint8)
    path.write_bytes(broken.tobytes() if seed % 4 else whole[: places[0]])
    try:
        with Trace(path) as trace:
            for table in filter(trace.__contains__, schema.TABLES):
                for column in schema.TABLES[table]:
                    trace[table][column.name]
    except TraceError as error:
        assert str(path) in str(error)  # noqa: PT017 (damage in unused bytes does no harm)


@pytest.mark.parametrize(
    ("column", "other"),
    [("actors/layer", "layers"), ("channels/producer", "actors"), ("parts/0/firings/actor", "actors")],
)
def test_a_row_that_is_not_there_is_damage(tmp_path: Path, column: str, other: str) -> None:
    path = write_trace(tmp_path)
    with h5py.File(path, "r+") as file:
        file[column][0] = 1000
    table, name = column.removeprefix("parts/0/").split("/")
    with Trace(path) as trace, pytest.raises(TraceError, match=f"{table}/{name} names a row that {other} does not"):
        trace[table][name]


def test_a_file_without_a_version_is_refused(tmp_path: Path) -> None:
    path = write_trace(tmp_path)
    with h5py.File(path, "r+") as file:
        del file.attrs["schema_version"]
    with pytest.raises(TraceError, match="no attribute schema_version"):
        Trace(path)


def test_a_reader_of_a_later_version_reads_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_trace(tmp_path)
    later = schema.Column("n_waiting", "u4", "1", "added later", since=schema.SCHEMA_VERSION + 1)
    tables = {**schema.TABLES, "firings": (*schema.TABLES["firings"], later), "moves": (later,)}
    monkeypatch.setattr(reader, "TABLES", tables)
    monkeypatch.setattr(reader, "SCHEMA_VERSION", schema.SCHEMA_VERSION + 1)
    with Trace(path) as trace:
        assert len(trace["firings"]["actor"]) == len(FIRINGS)
        with pytest.raises(TraceError, match="has no column n_waiting"):
            trace["firings"]["n_waiting"]
        with pytest.raises(TraceError, match="no table moves"):
            trace["moves"]


def test_reading_imports_neither_the_emulator_nor_what_draws_and_prints() -> None:
    script = "import sys, traces.reader; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", script], check=True, timeout=60, capture_output=True, text=True)
    assert {"emulator", "launch", "matplotlib", "mpi4py", "numba", "onnx", "rich"}.isdisjoint(done.stdout.split())
