"""The energy of a program before its run is that which a report finds in the trace afterwards."""

from pathlib import Path

import pytest

from emulator.chip.load import load_chip
from emulator.energy import count_program, program_energy_pj
from emulator.errors import ConfigError
from launch.cli import main
from launch.prepare import map_only
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


def test_a_chip_without_coefficients_is_refused() -> None:
    chip = load_chip(ROOT / "configs/chips/small16.yaml").model_copy(update={"energy": None})
    _, program = map_only(ROOT / "configs/runs/tiny.yaml", lambda *_: None)
    with pytest.raises(ConfigError, match="no energy coefficients"):
        program_energy_pj(program, chip, n_images=1, makespan_ps=1)
