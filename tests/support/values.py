"""Run the value plane alone on several ranks of one process, with any crossbars, for tests."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from support.records import MemorySink

from emulator.analog.crossbar import NO_DAC, NO_INL, AnalogCrossbar
from emulator.analog.noise import crossbar_key
from emulator.emulation import Workload
from emulator.network.geometry import Span
from emulator.parallel.comm import Comm
from emulator.parallel.local_comm import run_local
from emulator.program.dataflow import Actor
from emulator.values.convolution import Held
from emulator.values.executor import ValueExecutor
from emulator.values.gemm import GemmKind
from emulator.values.weights import ActorWeights, cut_weights
from traces.schema import ActorKind

MakeCrossbar = Callable[[Actor, ActorWeights], AnalogCrossbar]


def run_values(
    workload: Workload, bounds: list[int], make_crossbar: MakeCrossbar | None = None, gemm: GemmKind = "auto"
) -> tuple[dict[int, list[int]], list[tuple[int, ...]], dict[int, int]]:
    """Run the value plane on blocks of clusters cut at ``bounds``.

    Returns:
        Outputs by image, checksums sorted, and clipped conversions by actor.
    """
    blocks = [Span(a, b) for a, b in pairwise(bounds)]
    owners = [rank for rank, block in enumerate(blocks) for _ in range(len(block))]

    def rank_main(comm: Comm) -> tuple[MemorySink, dict[int, int]]:
        weights = cut_weights(workload.mapping, workload.program, blocks[comm.rank])
        mvms = [a for a in workload.program.actors if a.kind is ActorKind.MVM and a.actor_id in weights]
        analog = {a.actor_id: make_crossbar(a, weights[a.actor_id]) for a in mvms} if make_crossbar else {}
        sink = MemorySink()
        executor = ValueExecutor(
            workload.program, Held(weights, analog), owner_of_site=[*owners, 0], comm=comm,
            images=workload.images if comm.rank == 0 else None, n_images=len(workload.images), sink=sink, gemm=gemm,
        )  # fmt: skip
        executor.run()
        return sink, executor.n_clipped()

    results = run_local(rank_main, len(blocks))
    outputs = {image: values.tolist() for sink, _ in results for image, values in sink.outputs.items()}
    checksums = sorted(row for sink, _ in results for row in sink.rows("checksums"))
    return outputs, checksums, {actor_id: n for _, clipped in results for actor_id, n in clipped.items()}


def an_analog_crossbar(actor: Actor, held: ActorWeights, **changes: object) -> AnalogCrossbar:
    """Return an analog crossbar that delivers the ideal sums: fixed-point weights and an ADC of 24 bits."""
    n = held.crossbar.shape[1]
    values: dict[str, object] = {
        "n_columns": n, "levels": held.crossbar.astype(np.int16) * np.int16(128),
        "gain": np.full(n, 1 / 128, np.float32),
        "offset": np.zeros(n, np.float32), "sigma": np.zeros(n, np.float32),
        "code_min": np.full(n, -(2**23), np.int32), "code_max": np.full(n, 2**23, np.int32),
        "readout_gain": np.ones(n, np.float32), "readout_offset": np.zeros(n, np.float32),
        "noise_key": crossbar_key(3, actor.layer_id, actor.share.index, actor.row_block, actor.column_block),
        "inl": NO_INL, "dac": NO_DAC,
    }  # fmt: skip
    return AnalogCrossbar(**{**values, **changes})  # type: ignore[arg-type]
