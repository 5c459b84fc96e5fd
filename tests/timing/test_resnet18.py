"""The main job's timing: both engines, the bound by its slowest stage, and the same trace digest from either."""

from pathlib import Path

import numpy as np
import pytest
from support.networks import a_chip, a_small_workload
from support.records import MemorySink

from emulator.chip.load import load_chip
from emulator.chip.spec import Chip
from emulator.mapping.place import map_network
from emulator.mapping.policy import load_policy
from emulator.network.onnx_import import import_onnx
from emulator.network.quantize import quantize_onnx
from emulator.network.zoo import build_network, save_model
from emulator.program.build import build_program
from emulator.program.dataflow import Program
from emulator.program.lower import lower_program
from emulator.timing.engine import TimingEngine
from emulator.timing.records import FIRING_COLUMNS, TRANSFER_COLUMNS
from emulator.timing.reference_engine import ReferenceEngine
from traces.digest import Digest
from traces.schema import ActorKind

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def main_job(tmp_path_factory: pytest.TempPathFactory) -> tuple[Program, Chip]:
    folder = tmp_path_factory.mktemp("model")
    save_model(build_network("resnet18", 256, 256, n_classes=1000, seed=0), folder / "float.onnx")
    images = np.random.default_rng(0).integers(0, 256, (1, 256, 256, 3)).astype(np.uint8)
    quantize_onnx(folder / "float.onnx", images, folder / "model.onnx")
    chip = load_chip(ROOT / "configs/chips/bruschi2023.yaml")
    policy = load_policy(ROOT / "configs/policies/naive.yaml")
    return build_program(map_network(import_onnx(folder / "model.onnx"), chip, policy)), chip


def test_both_engines_give_the_main_job_the_same_times(main_job: tuple[Program, Chip]) -> None:
    program, chip = main_job
    sink = MemorySink()
    TimingEngine(lower_program(program, chip), 2, sink).run()
    reference = ReferenceEngine(program, chip, 2)
    reference.run()
    assert sink.rows("firings") == sorted(reference.firings)
    assert sink.rows("transfers") == sorted(reference.transfers)


def test_the_first_layer_sets_the_pace_of_a_batch(main_job: tuple[Program, Chip]) -> None:
    program, chip = main_job
    sink = MemorySink()
    TimingEngine(lower_program(program, chip), 16, sink).run()
    (stem,) = [a for a in program.actors if a.layer_id == 0 and a.kind is ActorKind.MVM]
    per_image_ps = sum(stem.durations_ps)
    assert per_image_ps == 128 * (100 + 3 + 2 + 130 + 1 + 4 + 127 * 130) * 1000  # columns x (start and 128 pixels)
    (output,) = [a for a in program.actors if a.kind is ActorKind.OUTPUT]
    done = [row[4] for row in sink.rows("firings") if row[0] == output.actor_id]
    assert set(np.diff(done).tolist()) == {per_image_ps}
    assert 16 * per_image_ps < done[-1] < 16.2 * per_image_ps


def test_a_digest_does_not_tell_which_engine_ran() -> None:
    chip = a_chip(rows=16, columns=8, fan_outs=(4, 4, 8))
    program = a_small_workload(chip, n_images=3).program
    sink, compiled = MemorySink(), Digest()
    TimingEngine(lower_program(program, chip), 3, sink).run()
    for table in ("firings", "transfers"):
        for batch in sink.batches[table]:
            compiled.add(table, batch)
    reference, plain = ReferenceEngine(program, chip, 3), Digest()
    reference.run()
    for table, names, rows in (
        ("firings", FIRING_COLUMNS, reference.firings),
        ("transfers", TRANSFER_COLUMNS, reference.transfers),
    ):
        plain.add(table, dict(zip(names, np.array(rows, np.int64).T, strict=True)))
    assert compiled.hexdigest("p") == plain.hexdigest("p")


def test_ports_carry_every_byte_once_per_hop() -> None:
    chip = a_chip(rows=16, columns=8, fan_outs=(4, 4, 8))
    program = a_small_workload(chip, n_images=3).program
    tables = lower_program(program, chip)
    engine = TimingEngine(tables, 3, MemorySink())
    engine.run()
    hops = tables.channels["route_end"] - tables.channels["route_start"]
    expected = sum(3 * sum(channel.token_bytes) * int(n) for channel, n in zip(program.channels, hops, strict=True))
    assert engine.port_totals.n_bytes.sum() == expected
