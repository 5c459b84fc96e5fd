"""The file format: what the document says, what survives, what is refused."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.traces import FIRINGS, ROWS, columns_of, header, write_trace

from traces import schema
from traces.digest import Digest
from traces.errors import TraceError
from traces.reader import Trace
from traces.writer import RankWriter

DOCUMENT = (Path(schema.__file__).parent / "SCHEMA.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("table", schema.TABLES)
def test_the_document_lists_every_column_with_type_and_unit(table: str) -> None:
    section = DOCUMENT.split(f"### `{table}`")[1].split("##")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    assert rows == [f"| `{c.name}` | {c.dtype} | {c.unit} | {c.meaning} |" for c in schema.TABLES[table]]


def test_the_document_lists_every_attribute_and_enumeration() -> None:
    for name, (kind, meaning) in schema.ATTRIBUTES.items():
        assert f"| `{name}` | {kind.__name__} | {meaning} |" in DOCUMENT
    for enumeration in (schema.ActorKind, schema.Resource, schema.Cause):
        assert ", ".join(f"{int(member)} {member.name}" for member in enumeration) in DOCUMENT


def test_a_written_trace_has_exactly_the_documented_datasets_types_and_attributes(tmp_path: Path) -> None:
    with h5py.File(write_trace(tmp_path), "r") as file:
        assert set(file.attrs) == set(schema.ATTRIBUTES)
        assert set(file) == {*schema.TABLES, "parts"}
        for table, columns in schema.TABLES.items():
            assert set(file[table]) == {column.name for column in columns}
            for column in columns:
                dtype = file[table][column.name].dtype
                is_text = h5py.check_string_dtype(dtype) is not None
                assert is_text if column.dtype == schema.TEXT else dtype == np.dtype(column.dtype)


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    with Trace(write_trace(tmp_path).parent) as trace:
        firings = trace["firings"]
        names = [column.name for column in schema.STREAMED_TABLES["firings"]]
        assert sorted(zip(*(firings[name].tolist() for name in names), strict=True)) == sorted(FIRINGS)
        assert trace.outputs().tolist() == [[5, 9], [7, 3]]
        assert trace["layers"]["name"].tolist() == ["conv", "add"]
        assert trace.attribute("seed") == 3
    assert not list(tmp_path.glob("rank*"))
    assert not list(tmp_path.glob("*.part"))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n_ranks=st.integers(1, 5))
def test_the_digest_does_not_depend_on_ranks_or_order(
    tmp_path_factory: pytest.TempPathFactory, seed: int, n_ranks: int
) -> None:
    rng = np.random.default_rng(seed)
    parts: list[dict[str, list[tuple[int, ...]]]] = [{table: [] for table in ROWS} for _ in range(n_ranks)]
    for table, rows in ROWS.items():
        for i in rng.permutation(len(rows)):
            parts[int(rng.integers(n_ranks))][table].append(rows[i])
    path = write_trace(tmp_path_factory.mktemp("split"), parts)
    with Trace(path) as trace, Trace(write_trace(tmp_path_factory.mktemp("whole"))) as whole:
        assert trace.attribute("digest") == whole.attribute("digest") == trace.compute_digest()
        assert len(trace["firings"]) == len(FIRINGS)


@pytest.mark.parametrize("column", range(7))
def test_the_digest_changes_with_any_column_of_any_record(column: int) -> None:
    changed = [list(row) for row in FIRINGS]
    changed[4][column] += 1
    digests = []
    for rows in (FIRINGS, [tuple(row) for row in changed]):
        digest = Digest()
        digest.add("firings", columns_of("firings", list(rows)))
        digests.append(digest.hexdigest("program"))
    assert digests[0] != digests[1]


def test_the_digest_tells_swapped_values_of_two_records() -> None:
    swapped = [*FIRINGS]
    a, b = list(swapped[2]), list(swapped[4])
    a[4], b[4] = b[4], a[4]
    swapped[2], swapped[4] = tuple(a), tuple(b)
    digests = set()
    for rows in (FIRINGS, swapped):
        digest = Digest()
        digest.add("firings", columns_of("firings", list(rows)))
        digests.add(digest.hexdigest("program"))
    assert len(digests) == 2


def test_many_batches_make_whole_chunks_and_keep_their_order(tmp_path: Path) -> None:
    n_records = 2 * schema.CHUNK_RECORDS + 7
    values = np.arange(n_records)
    with RankWriter(tmp_path / "rank00000.h5", header()) as writer:
        for start in range(0, n_records, 10_000):
            part = values[start : start + 10_000]
            writer.append("checksums", {"actor": part, "image": part, "crc32": part})
    with h5py.File(tmp_path / "rank00000.h5", "r") as file:
        assert np.array_equal(file["checksums/actor"][...], values)


def test_a_killed_writer_leaves_every_flushed_chunk_readable(tmp_path: Path) -> None:
    script = f"""
        import os, signal, sys
        import numpy as np
        from traces.writer import RankWriter
        writer = RankWriter(__import__("pathlib").Path({str(tmp_path / "rank00000.h5")!r}), None)
        values = np.arange(2 * {schema.CHUNK_RECORDS} + 5)
        writer.append("checksums", dict(actor=values, image=values, crc32=values))
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    with h5py.File(tmp_path / "rank00000.h5", "r", swmr=True) as file:
        assert np.array_equal(file["checksums/crc32"][...], np.arange(2 * schema.CHUNK_RECORDS))
    with pytest.raises(TraceError, match="did not finish"):
        Trace(tmp_path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="no such file"):
        Trace(tmp_path / "nothing.h5")
    with pytest.raises(TraceError, match=r"no trace\.h5 here: the run did not finish"):
        Trace(tmp_path)


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text("no HDF5 at all")
    with pytest.raises(TraceError, match="not a readable HDF5 file"):
        Trace(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(TraceError, match="not a trace"):
        Trace(tmp_path / "other.h5")


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = write_trace(tmp_path)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(TraceError, match="not a readable HDF5 file"):
        Trace(path)


def test_a_newer_schema_and_an_unfinished_run_are_refused(tmp_path: Path) -> None:
    path = write_trace(tmp_path)
    with h5py.File(path, "r+") as file:
        file.attrs["schema_version"] = schema.SCHEMA_VERSION + 1
    with pytest.raises(TraceError, match="newer than this reader"):
        Trace(path)
    with h5py.File(path, "r+") as file:
        file.attrs["schema_version"] = schema.SCHEMA_VERSION
        file.attrs["complete"] = False
    with pytest.raises(TraceError, match="did not finish"):
        Trace(path)


def test_an_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "rank00000.h5").write_text("precious")
    with pytest.raises(TraceError, match="choose another output folder"):
        RankWriter(tmp_path / "rank00000.h5", None)
    assert (tmp_path / "rank00000.h5").read_text() == "precious"


def test_damage_shows_in_the_digest(tmp_path: Path) -> None:
    path = write_trace(tmp_path)
    with h5py.File(path, "r+") as file:
        file["parts/0/firings/end_ps"][3] += 1
    with Trace(path) as trace:
        assert trace.compute_digest() != trace.attribute("digest")
