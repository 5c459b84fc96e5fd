"""The same formulae in IBM's AIHWKIT, number for number: ``pip install aihwkit`` first, else skipped.

Random numbers of both sides are the same, so nothing is left to statistics.
"""

from typing import Any

import numpy as np
import pytest

from emulator.analog.cells import Coding, to_pairs
from emulator.analog.pcm import GENERIC, HERMES_ONE_DEVICE, HERMES_TWO_DEVICES, PcmModel

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]  # AIHWKIT warns of its own code
torch = pytest.importorskip("torch")
noise = pytest.importorskip("aihwkit.inference.noise")

AGES_S = (0.0, 1.0, 3600.0, 86_400.0, 31_536_000.0)


def theirs(name: str) -> tuple[Any, Any]:
    """The noise model and the module whose random numbers it draws."""
    from aihwkit.inference.noise import hermes, pcm

    if name == "generic":
        return pcm.PCMLikeNoiseModel(g_max=25.0), pcm
    return hermes.HermesNoiseModel(num_devices=1 if name == "one" else 2), hermes


@pytest.mark.parametrize(
    ("name", "ours"), [("generic", GENERIC), ("one", HERMES_ONE_DEVICE), ("two", HERMES_TWO_DEVICES)]
)
def test_programming_drift_and_reads_are_aihwkits(monkeypatch: pytest.MonkeyPatch, name: str, ours: PcmModel) -> None:
    model, module = theirs(name)
    rng = np.random.default_rng(1)
    target = rng.uniform(0, ours.g_max_us, 20_000)
    target[:100] = 0
    normal = rng.standard_normal(target.size)
    monkeypatch.setattr(module, "randn_like", lambda like: torch.tensor(normal, dtype=like.dtype))
    tensor = torch.tensor(target, dtype=torch.float64)

    programmed = ours.program(target, normal)
    their_programmed = model.apply_programming_noise_to_conductance(tensor.clone())
    assert programmed == pytest.approx(their_programmed.numpy(), rel=1e-9, abs=1e-12)
    exponents = ours.drift_exponents(target, normal)
    their_exponents = model.generate_drift_coefficients(tensor.clone())
    assert exponents == pytest.approx(their_exponents.numpy(), rel=1e-9)
    for age_s in AGES_S:
        read = ours.read_out(programmed, ours.drift(programmed, exponents, age_s), age_s, normal)
        their_read = model.apply_drift_noise_to_conductance(their_programmed, their_exponents, age_s)
        assert read == pytest.approx(their_read.numpy(), rel=1e-9, abs=1e-12)


def test_the_conductances_of_a_weight_matrix_are_aihwkits() -> None:
    from aihwkit.inference.converter.conductance import SinglePairConductanceConverter

    weights = np.random.default_rng(2).integers(-90, 91, (30, 20)).astype(np.int8)
    (plus, minus), _ = SinglePairConductanceConverter(g_max=25.0).convert_to_conductances(torch.tensor(weights / 127))
    pairs = to_pairs(Coding(8, 1).digits(weights), 25.0)
    assert pairs.conductance_us[:, 0] == pytest.approx(np.stack([plus.numpy(), minus.numpy()]), rel=1e-6, abs=1e-6)


def test_compensation_is_the_ratio_of_mean_absolute_read_outs() -> None:
    from aihwkit.inference.compensation.drift import GlobalDriftCompensation

    from emulator.analog.devices import ProgrammedDevices, Programming, Reading

    weights = np.random.default_rng(3).integers(-127, 128, (64, 32)).astype(np.int8)
    programmed = ProgrammedDevices.program(weights, Coding(8, 1), Programming(GENERIC, noise=True), 77)
    fresh, old = (
        programmed.read(Reading(GENERIC, drift=age > 0, noise=False, age_s=age), 77) for age in (0.0, 86_400.0)
    )
    # their read-out puts one-hot vectors in, which gives the weights themselves
    readout = GlobalDriftCompensation().readout
    ratio = readout(torch.tensor(fresh.digits[0])) / readout(torch.tensor(old.digits[0]))
    assert old.compensation == pytest.approx(float(ratio), rel=1e-9)
