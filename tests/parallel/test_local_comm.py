"""The communicators without MPI: one rank alone, and ranks as threads."""

import numpy as np
import pytest

from emulator.errors import ParallelError
from emulator.parallel.local_comm import LocalComm, SerialComm, run_local


@pytest.mark.parametrize("n_ranks", [1, 2, 5])
def test_messages_collectives_and_results_come_in_rank_order(n_ranks: int) -> None:
    def main(comm: LocalComm) -> tuple[int, list[bytes] | None]:
        received = np.empty(3, np.int64)
        receive = comm.irecv(received, (comm.rank - 1) % comm.size, 1)
        comm.wait(comm.isend(np.full(3, comm.rank), (comm.rank + 1) % comm.size, 1), receive)
        assert comm.broadcast_bytes(b"hello" if comm.rank == 0 else None, 0) == b"hello"
        comm.barrier()
        return int(received[0]), comm.gather_bytes(bytes([comm.rank]), 0)

    results = run_local(main, n_ranks)
    assert [left for left, _ in results] == [(rank - 1) % n_ranks for rank in range(n_ranks)]
    assert results[0][1] == [bytes([rank]) for rank in range(n_ranks)]
    assert all(gathered is None for _, gathered in results[1:])


def test_a_failure_on_one_rank_ends_the_others_and_is_raised() -> None:
    def main(comm: LocalComm) -> None:
        if comm.rank == 2:
            raise ValueError("rank 2 fell over")
        comm.barrier()

    with pytest.raises(ValueError, match="rank 2 fell over"):
        run_local(main, 3)


def test_ranks_that_wait_for_each_other_are_reported() -> None:
    def main(comm: LocalComm) -> None:
        comm.wait(comm.irecv(np.empty(1), 1 - comm.rank, 0))

    with pytest.raises(ParallelError, match=r"ranks \[0, 1\] were not done"):
        run_local(main, 2, limit_s=0.3)


def test_a_single_rank_does_not_wait_for_messages_that_cannot_come() -> None:
    comm = SerialComm()
    with pytest.raises(ParallelError, match="no rank will send"):
        comm.wait(comm.irecv(np.empty(1), 0, 0))


def test_buffers_peers_and_tags_are_checked() -> None:
    comm = SerialComm()
    with pytest.raises(ParallelError, match="not contiguous"):
        comm.isend(np.zeros((4, 4))[:, 1], 0, 0)
    with pytest.raises(ParallelError, match="names rank 1"):
        comm.isend(np.zeros(4), 1, 0)
    with pytest.raises(ParallelError, match="message tag -1"):
        comm.isend(np.zeros(4), 0, -1)
