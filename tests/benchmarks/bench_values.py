"""How fast the value plane is on the main job, beside onnxruntime on the same model, images and core.

    python tests/benchmarks/bench_values.py [--repeats 9] [--ranks 2] [--gemm auto|integer|float] [--config FILE]

Measured in turn, repeat after repeat, in one MPI job of one thread per rank (ranks that are not measured sleep):

- onnxruntime on the quantised model and on the float32 one, the latter also on every rank at once;
- the value plane on one rank, with ideal crossbars and with noisy ones behind 8-bit ADCs, each with integer and with
  float32 products; with integer ones also noisy crossbars whose ADCs are not linear, each column in its own way;
- the value plane on all ranks, with the products of --gemm; as a control, ideal crossbars on every rank at once, each
  rank all of them: what that takes longer than on one rank is the machine's.

Everything is warm: each is done twice in a row and the second time counts. The first time, after others have used the
caches and ranks have slept, is printed beside it. Prints JSON: medians and minima over the repeats, and medians of the
ratios within each repeat, which are what travels. Seconds are wall time; on a busy machine cpu_s says more.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from emulator.network.preprocess import to_nchw, to_tensor

ROOT = Path(__file__).parents[2]


class Discard:
    """A sink for records that nobody wants."""

    def append(self, table: str, columns: object) -> None:
        """Take nothing."""

    def output(self, image: int, values: object) -> None:
        """Take nothing."""


def seconds(action: Callable[[], object]) -> tuple[float, float, float]:
    """Do ``action`` twice; return wall and this process's processor time of the second, wall time of the first."""
    first = time.perf_counter()
    action()
    began, cpu = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - began, time.process_time() - cpu, began - first


def float_model(prepared: Any) -> Any:
    """Return the run's network before quantisation."""
    from emulator.network.zoo import build_network

    network = prepared.config.network
    size = network.image_size
    return build_network(network.kind, size, size, n_classes=network.classes, seed=network.seed)


def onnxruntime_runner(model: bytes, tensor: Any) -> Callable[[], object]:
    """Return what runs a model on all images, one by one as the emulator does, on one thread."""
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda: [session.run(None, {name: tensor[i : i + 1]}) for i in range(len(tensor))]


def noisy_crossbars(program: Any, weights: Any) -> dict[int, Any]:
    """Return a crossbar with programming noise, output noise and an 8-bit ADC for every MVM actor, of any size."""
    from emulator.analog.crossbar import NO_DAC, NO_INL, AnalogCrossbar
    from emulator.analog.noise import crossbar_key
    from traces.schema import ActorKind

    crossbars = {}
    for actor in program.actors:
        if actor.kind is not ActorKind.MVM or actor.actor_id not in weights:
            continue
        ideal = weights[actor.actor_id].crossbar
        rng = np.random.default_rng(actor.actor_id)
        levels = np.clip(np.rint(ideal * 128.0 + rng.normal(0, 500, ideal.shape)), -32000, 32000).astype(np.int16)
        n = ideal.shape[1]
        step = (np.sqrt((ideal.astype(np.float64) ** 2).sum(axis=0)) * 128 * 4 / 127 + 1).astype(np.float32)
        identity = actor.layer_id, actor.share.index, actor.row_block, actor.column_block
        crossbars[actor.actor_id] = AnalogCrossbar(
            n_columns=n, levels=levels, gain=1 / (128 * step), offset=np.zeros(n, np.float32),
            sigma=np.full(n, 0.7, np.float32), code_min=np.full(n, -128, np.int32), code_max=np.full(n, 127, np.int32),
            readout_gain=step, readout_offset=np.zeros(n, np.float32), noise_key=crossbar_key(1, *identity),
            inl=NO_INL, dac=NO_DAC,
        )  # fmt: skip
    return crossbars


def nonlinear(crossbars: dict[int, Any]) -> dict[int, Any]:
    """Return the same crossbars, the ADC of each column half a step non-linear."""
    from emulator.analog.converters import nonlinearity

    def curves(crossbar: Any) -> Any:
        return nonlinearity(np.random.default_rng(1).standard_normal((2, crossbar.levels.shape[1])), 0.5)

    return {actor_id: replace(crossbar, inl=curves(crossbar)) for actor_id, crossbar in crossbars.items()}


def one_rank_cases(prepared: Any, model: Path) -> dict[str, Callable[[], object]]:
    """Return everything that runs on one rank, by name."""
    from emulator.network.geometry import Span
    from emulator.parallel.local_comm import SerialComm
    from emulator.values.convolution import Held
    from emulator.values.executor import ValueExecutor
    from emulator.values.weights import cut_weights
    from launch.sources import preprocessing_of

    workload = prepared.workload
    program = workload.program
    tensor = to_nchw(to_tensor(prepared.images, preprocessing_of(prepared.config)))
    weights = cut_weights(workload.mapping, program, Span(0, program.n_clusters))

    def executor(gemm: Any, analog: dict[int, Any]) -> Callable[[], object]:
        owners = [0] * (program.n_clusters + 1)
        return ValueExecutor(
            program, Held(weights, analog), owner_of_site=owners, comm=SerialComm(), images=workload.images,
            n_images=len(workload.images), sink=Discard(), gemm=gemm,
        ).run  # fmt: skip

    noisy = noisy_crossbars(program, weights)
    return {
        "onnxruntime_float32": onnxruntime_runner(float_model(prepared).SerializeToString(), tensor),
        "onnxruntime_int8": onnxruntime_runner(model.read_bytes(), tensor),
        "ideal_integer": executor("integer", {}),
        "ideal_float": executor("float", {}),
        "noisy_integer": executor("integer", noisy),
        "noisy_float": executor("float", noisy),
        "nonlinear_integer": executor("integer", nonlinear(noisy)),
    }


def and_wait(comm: Any, run: Callable[[], object]) -> Callable[[], object]:
    """Return what runs on this rank and then waits for the others."""

    def run_and_wait() -> None:
        run()
        comm.barrier()

    return run_and_wait


def all_ranks_case(
    comm: Any, prepared: Any, gemm: Any, *, is_noisy: bool, is_shared: bool = True
) -> tuple[Callable[[], object], int]:
    """Return what runs the value plane on all ranks, together or each alone, and the bytes of weights."""
    from emulator.network.geometry import Span
    from emulator.parallel.local_comm import SerialComm
    from emulator.parallel.wire import pack, unpack
    from emulator.program.transport import program_from_bytes, program_to_bytes
    from emulator.values.blocks import balanced_blocks
    from emulator.values.convolution import Held
    from emulator.values.executor import ValueExecutor
    from emulator.values.weights import ActorWeights, cut_weights
    from emulator.values.work import host_costs

    workload = prepared.workload if prepared else None
    packed = pack([program_to_bytes(workload.program), workload.images]) if workload else None
    program_bytes, images = unpack(comm.broadcast_bytes(packed, 0))
    program = program_from_bytes(program_bytes)
    blocks = [Span(0, program.n_clusters)] * comm.size
    if is_shared:
        blocks = balanced_blocks(program, host_costs(is_noisy=is_noisy, gemm=gemm), comm.size)
    weights: dict[int, Any] = {}
    for rank, block in enumerate(blocks):
        cut = cut_weights(workload.mapping, program, block) if workload else {}
        data = pack({i: (w.crossbar, w.offset, w.multiplier) for i, w in cut.items()}) if workload else None
        received = unpack(comm.broadcast_bytes(data, 0))
        if rank == comm.rank:
            weights = {i: ActorWeights(*arrays) for i, arrays in received.items()}
    analog = noisy_crossbars(program, weights) if is_noisy else {}
    owners = [rank if is_shared else 0 for rank, block in enumerate(blocks) for _ in range(len(block))]
    executor = ValueExecutor(
        program, Held(weights, analog), owner_of_site=[*owners, 0], comm=comm if is_shared else SerialComm(),
        images=images, n_images=len(images), sink=Discard(), gemm=gemm,
    )  # fmt: skip
    return and_wait(comm, executor.run), sum(held.crossbar.nbytes for held in weights.values())


def on_all_at_once(comm: Any, prepared: Any) -> Callable[[], object]:
    """Return what runs onnxruntime's float32 model on every rank, all of it: what the machine loses when it is busy."""
    from emulator.parallel.wire import pack, unpack
    from launch.sources import preprocessing_of

    def packed() -> bytes:
        tensor = to_nchw(to_tensor(prepared.images, preprocessing_of(prepared.config)))
        return pack([float_model(prepared).SerializeToString(), tensor])

    model, tensor = unpack(comm.broadcast_bytes(packed() if prepared else None, 0))
    return and_wait(comm, onnxruntime_runner(model, tensor))


def measure(comm: Any, options: argparse.Namespace) -> None:
    """Be one rank of the job: measure in turn, and print what rank 0 has gathered."""
    from emulator.parallel.wire import pack, unpack
    from launch.prepare import prepare_run
    from launch.sources import MODEL_NAME

    with TemporaryDirectory() as folder:
        prepared = prepare_run(options.config, Path(folder), None, lambda *_: None) if comm.rank == 0 else None
        everywhere = {}
        everywhere["ideal_all_ranks"], n_bytes = all_ranks_case(comm, prepared, options.gemm, is_noisy=False)
        everywhere["noisy_all_ranks"], _ = all_ranks_case(comm, prepared, options.gemm, is_noisy=True)
        everywhere["onnxruntime_on_all_ranks_at_once"] = on_all_at_once(comm, prepared)
        at_once, _ = all_ranks_case(comm, prepared, options.gemm, is_noisy=False, is_shared=False)
        everywhere["ideal_on_all_ranks_at_once"] = at_once
        here = one_rank_cases(prepared, Path(folder) / MODEL_NAME) if prepared else {}
        times: dict[str, list[tuple[float, float, float]]] = {}
        for repeat in range(options.repeats + 1):
            for name, action in here.items():
                times.setdefault(name, []).append(seconds(action))
            for name, action in everywhere.items():
                comm.barrier()
                times.setdefault(name, []).append(seconds(action))
            if comm.rank == 0:
                print(f"repeat {repeat} of {options.repeats}", file=sys.stderr, flush=True)
        warm = {name: values[1:] for name, values in times.items()}
        mine = {
            "weight_bytes": n_bytes,
            "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "cpu_s": {name: round(statistics.median(cpu for _, cpu, _ in warm[name]), 4) for name in everywhere},
        }
        gathered = comm.gather_bytes(pack(mine), 0)
        if gathered is not None:
            print(json.dumps(summarize(warm, [unpack(data) for data in gathered], options), indent=2))


def summarize(
    times: dict[str, list[tuple[float, float, float]]], ranks: list[dict[str, Any]], options: argparse.Namespace
) -> dict[str, Any]:  # fmt: skip
    """Turn times into medians and ratios."""
    from emulator.values.gemm import integers_are_exact

    kind = options.gemm if options.gemm != "auto" else "integer" if integers_are_exact() else "float"
    wall, cpu, first = ({name: [each[i] for each in values] for name, values in times.items()} for i in range(3))

    def medians(of: dict[str, list[float]]) -> dict[str, float]:
        return {name: round(statistics.median(values), 4) for name, values in of.items()}

    def ratio(above: str, below: str, below_s: dict[str, list[float]] = wall) -> float:
        return round(statistics.median(a / b for a, b in zip(wall[above], below_s[below], strict=True)), 3)

    def speedup(of: dict[str, list[float]]) -> dict[str, float]:
        return {case: ratio(f"{case}_{kind}", f"{case}_all_ranks", of) for case in ("ideal", "noisy")}

    return {
        "n_ranks": len(ranks),
        "n_repeats": options.repeats,
        "integer_products_are_exact_here": integers_are_exact(),
        "median_s": medians(wall),
        "smallest_s": {name: round(min(values), 4) for name, values in wall.items()},
        "first_time_s": medians(first),
        "cpu_s": medians(cpu),
        "times_of_onnxruntime_float32": {name: ratio(name, "onnxruntime_float32") for name in wall},
        "speedup_of_all_ranks": speedup(wall),
        "speedup_of_all_ranks_the_first_time": speedup(first),
        "speedup_over_one_rank_while_the_others_are_busy": ratio("ideal_on_all_ranks_at_once", "ideal_all_ranks"),
        "slowdown_when_all_ranks_are_busy": {
            "onnxruntime": ratio("onnxruntime_on_all_ranks_at_once", "onnxruntime_float32"),
            "ideal": ratio("ideal_on_all_ranks_at_once", f"ideal_{kind}"),
        },
        "by_rank": ranks,
    }  # fmt: skip


def main() -> None:
    """Start the job, or be a rank of it."""
    from launch.local import find_mpiexec, rank_environment
    from launch.rank import connect

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--gemm", choices=["auto", "integer", "float"], default="auto", help="products of all ranks")
    parser.add_argument("--config", type=Path, default=ROOT / "configs/runs/resnet18-naive.yaml")
    options = parser.parse_args()
    comm = connect()
    if comm.size == options.ranks:
        measure(comm, options)
        return
    command = [str(find_mpiexec()), "-n", str(options.ranks), sys.executable, *sys.argv]
    raise SystemExit(subprocess.run(command, env=rank_environment(options.ranks, dict(os.environ))).returncode)  # noqa: PLW1510


if __name__ == "__main__":
    main()
