"""The energy of a program before its run is that which a report finds in the trace afterwards."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from emulator.chip.load import load_chip
from emulator.energy import count_program, program_energy_pj
from emulator.errors import ConfigError
from launch.cli import main
from launch.prepare import map_only
from traces.energy import EnergyCounts
from traces.reader import Trace
from traces.report import make_report

ROOT = Path(__file__).parents[1]


def test_a_run_uses_what_its_program_says(tmp_path: Path) -> None:
    run, chip = ROOT / "configs/runs/tiny.yaml", load_chip(ROOT / "configs/chips/small16.yaml")
    _, program = map_only(run, lambda *_: None)
    assert main(["run", str(run), "--plane", "timing", "-o", str(tmp_path / "run")]) == 0
    with Trace(tmp_path / "run") as trace:
        report = make_report(trace).to_json()
    makespan_ps, n_images = report["makespan_ps"], report["n_images"]
    energy_pj = program_energy_pj(program, chip, n_images=n_images, makespan_ps=makespan_ps)
    measured_pj = report["energy_mj_per_batch"] * 1e9
    counts = count_program(program, chip, n_images=n_images, makespan_ps=makespan_ps)
    assert chip.energy is not None
    whole_idle_pj = 16 * makespan_ps * chip.energy.idle_mw * 1e-3
    # Only idle time differs, where a cluster's IMA and cores work at the same time.
    assert 0 <= measured_pj - energy_pj < 0.5 * whole_idle_pj
    assert counts.cluster_ps == 16 * makespan_ps
    assert counts.n_mvms == n_images * sum(actor.n_jobs for actor in program.actors)


def test_a_sliced_weight_takes_as_many_conversions_as_the_values_have_made(tmp_path: Path) -> None:
    content = yaml.safe_load((ROOT / "configs/chips/small16.yaml").read_text(encoding="utf-8"))
    content["cluster"]["ima"] |= {"weight_bits": 4, "analog": {"slices": 2}}
    (tmp_path / "chip.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    text = (ROOT / "configs/runs/tiny.yaml").read_text(encoding="utf-8")
    text = text.replace("../chips/small16.yaml", "chip.yaml").replace("../", f"{ROOT}/configs/")
    (tmp_path / "run.yaml").write_text(text, encoding="utf-8")
    assert main(["run", str(tmp_path / "run.yaml"), "-o", str(tmp_path / "run")]) == 0
    with Trace(tmp_path / "run") as trace:
        report = make_report(trace)
        n_conversions = int(trace["conversions"]["n_conversions"].sum())
    assert report.timing.energy is not None
    counted = sum(report.timing.energy.counts.values(), EnergyCounts())
    assert counted.n_column_outputs == n_conversions > 0
    _, program = map_only(tmp_path / "run.yaml", lambda *_: None)
    chip, makespan_ps = load_chip(tmp_path / "chip.yaml"), counted.cluster_ps // 16
    expected = count_program(program, chip, n_images=4, makespan_ps=makespan_ps)
    assert replace(counted, idle_ps=0) == replace(expected, idle_ps=0)


def test_a_chip_without_coefficients_is_refused() -> None:
    chip = load_chip(ROOT / "configs/chips/small16.yaml").model_copy(update={"energy": None})
    _, program = map_only(ROOT / "configs/runs/tiny.yaml", lambda *_: None)
    with pytest.raises(ConfigError, match="no energy coefficients"):
        program_energy_pj(program, chip, n_images=1, makespan_ps=1)
