"""Run an emulation on several ranks of one process, for tests."""

from support.records import MemorySink

from emulator.emulation import Plane, RankSummary, Workload, emulate
from emulator.parallel.comm import Comm
from emulator.parallel.local_comm import run_local


def emulate_on_ranks(
    workload: Workload, n_ranks: int, plane: Plane = Plane.BOTH, *, split_timing: bool = True
) -> list[tuple[RankSummary, MemorySink]]:
    """Emulate ``workload`` on ``n_ranks`` threads; returns each rank's summary and records."""

    def rank_main(comm: Comm) -> tuple[RankSummary, MemorySink]:
        sink = MemorySink()
        mine = workload if comm.rank == 0 else None
        summary = emulate(mine, comm=comm, sink=sink, plane=plane, split_timing=split_timing, on_image=lambda _: None)
        return summary, sink

    return run_local(rank_main, n_ranks)


def all_rows(results: list[tuple[RankSummary, MemorySink]], table: str) -> list[tuple[int, ...]]:
    """Records of one table from all ranks, sorted."""
    return sorted(row for _, sink in results for row in sink.rows(table))
