"""Writers and the merge refuse what would make a wrong trace, and say why."""

import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.traces import ROWS, columns_of, header, write_trace

from traces import schema, writer
from traces.columns import fit_columns
from traces.digest import Digest
from traces.errors import TraceError
from traces.merge import merge_ranks
from traces.reader import Table, Trace
from traces.writer import RankWriter

LAYERS, OUTPUTS = schema.STATIC_TABLES["layers"], schema.STREAMED_TABLES["outputs"]
SUMMARIES: dict[str, dict[str, Any]] = {
    table: {column.name: [] for column in columns} for table, columns in schema.SUMMARY_TABLES.items()
}


def outputs(n_records: int, **other: object) -> dict[str, Any]:
    return {column.name: np.arange(n_records) for column in OUTPUTS} | other


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"image": [1], "element": [1]}, "expected the columns image, element, value; got image, element"),
        (outputs(3, extra=np.arange(3)), "expected the columns"),
        (outputs(3, value=np.arange(2)), "columns of one length"),
        (outputs(3, image=np.arange(1)), "columns of one length"),
        (outputs(3, image=np.arange(3) - 1), r"outputs/image: expected 0 to 4294967295 \(uint32\), got -1 to 1"),
        (outputs(3, value=np.arange(3) + 2**31), "outputs/value: expected -2147483648 to 2147483647"),
        (outputs(3, value=np.ones(3)), "expected whole numbers, got float64"),
        (outputs(3, value=np.ones((3, 1), int)), r"one dimension, got the shape \(3, 1\)"),
    ],
)
def test_columns_that_do_not_fit_are_refused(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    with RankWriter(tmp_path / "rank00000.h5", None) as rank, pytest.raises(TraceError, match=message):
        rank.append("outputs", columns)
    assert rank.digest.counts == {}


@given(values=st.lists(st.integers(-(2**31), 2**31 - 1)))
def test_columns_that_fit_keep_their_values(values: list[int]) -> None:
    fitted = fit_columns("outputs", outputs(len(values), value=values), OUTPUTS)
    assert [column.dtype for column in fitted.values()] == [np.dtype(column.dtype) for column in OUTPUTS]
    assert fitted["value"].tolist() == values


@pytest.mark.parametrize("names", [[], [""], ["conv", "Größe 日本 µ", "a" * 300]])
def test_text_of_any_length_and_language_is_read_back(tmp_path: Path, names: list[str]) -> None:
    with h5py.File(tmp_path / "trace.h5", "w") as file:
        columns = {column.name: names if column.dtype == schema.TEXT else [0] * len(names) for column in LAYERS}
        writer.write_table(file, columns, "layers", schema.STATIC_TABLES)
        assert Table(file["layers"], "layers")["name"].tolist() == names


def test_unknown_tables_and_late_records_are_refused(tmp_path: Path) -> None:
    with (
        RankWriter(tmp_path / "rank00000.h5", None) as rank,
        pytest.raises(TraceError, match="no streamed table ranks"),
    ):
        rank.append("ranks", {})
    with pytest.raises(TraceError, match="after the file was closed"):
        rank.append("outputs", outputs(1))


def test_a_caller_may_use_its_arrays_again(tmp_path: Path) -> None:
    values = np.arange(5, dtype=np.uint32)
    with RankWriter(tmp_path / "rank00000.h5", None) as rank:
        rank.append("outputs", {"image": values, "element": values, "value": values})
        values[:] = 99
    with h5py.File(tmp_path / "rank00000.h5", "r") as file:
        assert file["outputs/image"][...].tolist() == [0, 1, 2, 3, 4]


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(0, 23), max_size=8))
def test_batches_of_any_size_are_all_there_in_order(tmp_path_factory: pytest.TempPathFactory, sizes: list[int]) -> None:
    path = tmp_path_factory.mktemp("batches") / "rank00000.h5"
    values = np.arange(sum(sizes))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "CHUNK_RECORDS", 8)
        with RankWriter(path, None) as rank:
            for part in np.split(values, np.cumsum(sizes)[:-1]) if sizes else []:
                rank.append("outputs", {"image": part, "element": part, "value": part})
    whole = Digest()
    whole.add("outputs", {"image": values, "element": values, "value": values})
    with h5py.File(path, "r") as file:
        for column in OUTPUTS:
            assert file["outputs"][column.name][...].tolist() == values.tolist()
    assert rank.digest.hexdigest("p") == whole.hexdigest("p")


def test_a_header_must_be_complete(tmp_path: Path) -> None:
    path = tmp_path / "rank00000.h5"
    without_seed, with_more, without_stage, ragged = header(), header(), header(), header()
    del without_seed.attributes["seed"]
    with_more.attributes["mood"] = "good"
    del without_stage.tables["actors"]["stage"]
    ragged.tables["actors"]["stage"] = [0]
    for wrong, message in (
        (without_seed, "attributes missing: seed; unknown: none"),
        (with_more, "missing: none; unknown: mood"),
        (without_stage, "trace table actors: expected the columns"),
        (ragged, "columns of one length"),
    ):
        with pytest.raises(TraceError, match=message):
            RankWriter(path, wrong)
    assert not path.exists()


def test_a_full_disk_is_noticed_before_it_does_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rank00000.h5"
    rank = RankWriter(path, None)
    rank.append("outputs", outputs(schema.CHUNK_RECORDS))
    full = SimpleNamespace(f_bavail=1, f_frsize=4096, f_blocks=1000)
    monkeypatch.setattr(writer.os, "statvfs", lambda _path: full)
    with pytest.raises(TraceError, match=r"the disk is full \(0\.0 MiB free\)"):
        rank.append("outputs", outputs(schema.CHUNK_RECORDS))
    with pytest.raises(TraceError, match="the disk is full"):
        rank.close()
    with h5py.File(path, "r") as file:  # closed in good order, with what went before
        assert len(file["outputs/value"]) == schema.CHUNK_RECORDS


def test_a_write_that_fails_is_one_clear_error(tmp_path: Path) -> None:
    script = f"""
        import os, pathlib, resource, signal
        import numpy as np
        from traces.errors import TraceError
        from traces.writer import RankWriter
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
        values = np.random.default_rng(0).integers(0, 2**31, {4 * schema.CHUNK_RECORDS})
        rank = RankWriter(pathlib.Path({str(tmp_path / "rank00000.h5")!r}), None)
        try:
            with rank:
                rank.append("outputs", dict(image=values, element=values, value=values))
        except TraceError as error:
            print(error, flush=True)
        os._exit(8)  # HDF5 cannot end in good order after a failed write
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], check=False, timeout=60, capture_output=True, text=True
    )
    assert done.returncode == 8
    assert done.stdout.count("the trace cannot be written") == 1
    assert done.stdout.count("\n") == 1


def test_a_disk_that_is_full_before_the_first_record_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beginning = header()
    beginning.attributes["run_file"] = "#" * 8192
    for n_free, first in ((1, None), (257, beginning)):  # the margin is 256 of these blocks
        full = SimpleNamespace(f_bavail=n_free, f_frsize=4096, f_blocks=1000)
        monkeypatch.setattr(writer.os, "statvfs", lambda _path, full=full: full)
        with pytest.raises(TraceError, match=r"rank00000\.h5: the disk is full"):
            RankWriter(tmp_path / "rank00000.h5", first)
        assert not list(tmp_path.iterdir())
    RankWriter(tmp_path / "rank00000.h5", None).close()


@pytest.mark.parametrize("error", [RuntimeError("Unable to flush"), OSError(28, "No space left on device")])
def test_a_beginning_that_cannot_be_written_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(_file: h5py.File) -> None:
        raise error

    monkeypatch.setattr(h5py.File, "flush", fail)
    with pytest.raises(TraceError, match=r"rank00000\.h5: the trace cannot be written: .*(flush|No space left)"):
        RankWriter(tmp_path / "rank00000.h5", None)


def test_the_first_error_is_the_one_that_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        with RankWriter(tmp_path / "rank00000.h5", None) as rank:
            rank.append("outputs", outputs(3))
            monkeypatch.setattr(writer.os, "statvfs", lambda _p: SimpleNamespace(f_bavail=0, f_frsize=1, f_blocks=1))
            raise KeyError("the cause")

    with pytest.raises(KeyError, match="the cause"):
        interrupted()


def test_a_merge_does_not_overwrite_a_trace(tmp_path: Path) -> None:
    path = write_trace(tmp_path)
    before = path.read_bytes()
    with pytest.raises(TraceError, match="there is a trace already"):
        write_trace(tmp_path)
    assert path.read_bytes() == before


def merge(folder: Path, digest: Digest, n_ranks: int = 1) -> None:
    paths = [folder / f"rank{rank:05d}.h5" for rank in range(n_ranks)]
    merge_ranks(paths, folder / "trace.h5", summaries=SUMMARIES, n_events=0, digest=digest)


def test_a_merge_refuses_files_that_are_missing_foreign_or_not_what_was_written(tmp_path: Path) -> None:
    with RankWriter(tmp_path / "rank00000.h5", header()) as rank:
        rank.append("firings", columns_of("firings", ROWS["firings"]))
    with pytest.raises(TraceError, match=r"rank00001\.h5: a rank's file is missing"):
        merge(tmp_path, rank.digest, n_ranks=2)
    (tmp_path / "rank00001.h5").write_text("no HDF5 at all")
    with pytest.raises(TraceError, match="cannot be put together"):
        merge(tmp_path, rank.digest, n_ranks=2)
    more = Digest()
    more.merge(rank.digest)
    more.add("firings", columns_of("firings", ROWS["firings"][:1]))
    with pytest.raises(TraceError, match=r"table firings reads back otherwise .*\(10 records read, 11 written\)"):
        merge(tmp_path, more)
    with pytest.raises(TraceError, match="the run did not finish"):
        Trace(tmp_path)
    assert (tmp_path / "rank00000.h5").exists()
    merge(tmp_path, rank.digest)
    assert not (tmp_path / "rank00000.h5").exists()
    with Trace(tmp_path) as trace:
        assert trace.compute_digest() == trace.attribute("digest")
