"""The MPI communicator on real ranks: run under mpiexec, or by test_mpi_launch.py."""

import numpy as np
import pytest
from support.emulations import all_rows, emulate_on_ranks
from support.networks import a_chip, a_small_workload
from support.records import MemorySink

from emulator.emulation import Plane, emulate
from emulator.errors import ParallelError
from emulator.parallel.wire import pack, unpack

pytestmark = pytest.mark.mpi(min_size=2)


@pytest.fixture
def comm():  # type: ignore[no-untyped-def]  # noqa: ANN201 (importing the type would start MPI)
    from emulator.parallel.mpi_comm import MpiComm

    return MpiComm()


def test_a_ring_of_messages_arrives(comm) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    right, left = (comm.rank + 1) % comm.size, (comm.rank - 1) % comm.size
    received = [np.empty(1000 * (i + 1), np.float32) for i in range(3)]
    receives = [comm.irecv(buffer, left, tag) for tag, buffer in enumerate(received)]
    sent = [np.full(1000 * (i + 1), 10 * comm.rank + i, np.float32) for i in range(3)]
    comm.wait(*(comm.isend(data, right, tag) for tag, data in enumerate(sent)), *receives)
    assert [set(buffer.tolist()) for buffer in received] == [{10 * left + i} for i in range(3)]


@pytest.mark.parametrize("n_bytes", [0, 1, 999, 1000, 1001, 5003])
def test_long_broadcasts_and_gathers_go_in_pieces(  # type: ignore[no-untyped-def]
    comm,  # noqa: ANN001
    monkeypatch: pytest.MonkeyPatch,
    n_bytes: int,
) -> None:
    monkeypatch.setattr("emulator.parallel.mpi_comm._PIECE_BYTES", 1000)
    data = bytes(i % 251 for i in range(n_bytes))
    root = comm.size - 1
    assert comm.broadcast_bytes(data if comm.rank == root else None, root) == data
    gathered = comm.gather_bytes(bytes([comm.rank]) + data, 0)
    assert gathered == ([bytes([rank]) + data for rank in range(comm.size)] if comm.rank == 0 else None)


@pytest.mark.parametrize(
    ("n_bytes", "message"), [(3, "sent 3 bytes with tag 5, expected 8"), (12, "did not fit its buffer")]
)
def test_a_message_of_the_wrong_length_is_refused(comm, n_bytes: int, message: str) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    if comm.rank == 0:
        comm.wait(comm.isend(np.zeros(n_bytes, np.uint8), 1, 5))
    elif comm.rank == 1:
        with pytest.raises(ParallelError, match=message):
            comm.wait(comm.irecv(np.zeros(8, np.uint8), 0, 5))


def test_a_broadcast_without_data_is_refused(comm) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    with pytest.raises(ParallelError, match="gives data and no other does"):
        comm.broadcast_bytes(None if comm.rank == 0 else b"mine", 0)


def test_a_launcher_of_another_mpi_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from emulator.parallel.mpi_comm import MpiComm

    monkeypatch.setenv("PMI_SIZE", "77")
    with pytest.raises(ParallelError, match="started 77 processes"):
        MpiComm()


def test_an_emulation_over_mpi_gives_the_records_of_one_rank(comm) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    workload = a_small_workload(a_chip(rows=16, columns=8, fan_outs=(4, 4, 4)), n_images=5)
    sink = MemorySink()
    mine = workload if comm.rank == 0 else None
    emulate(mine, comm=comm, sink=sink, plane=Plane.BOTH, split_timing=True, on_image=lambda _: None)
    tables = ("firings", "transfers", "checksums")
    outputs = [[image, *values.tolist()] for image, values in sorted(sink.outputs.items())]
    records = pack({"outputs": outputs, **{table: sink.rows(table) for table in tables}})
    gathered = comm.gather_bytes(records, 0)
    if gathered is None:
        return
    parts = [unpack(part) for part in gathered]
    alone = emulate_on_ranks(workload, 1)
    for table in tables:
        assert sorted(tuple(row) for part in parts for row in part[table]) == all_rows(alone, table)
    expected = [[image, *values.tolist()] for image, values in sorted(alone[0][1].outputs.items())]
    assert [row for part in parts for row in part["outputs"]] == expected
