"""Statistics of phase-change memory against the published formulae, written out again here by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.analog.pcm import GENERIC, HERMES_ONE_DEVICE, HERMES_TWO_DEVICES, PcmModel

MODELS = {"generic": GENERIC, "one": HERMES_ONE_DEVICE, "two": HERMES_TWO_DEVICES}
N = 40_000
#: Five standard errors: a sound model fails about once in a million draws.
N_SIGMA = 5.0


def clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def published_programming(name: str, r: float) -> float:
    if name == "generic":
        return 0.26348 + 1.9650 * r - 1.1731 * r**2
    if name == "two":
        return 0.16603222 + 4.71806468 * r - 8.48101252 * r**2 + 4.68961419 * r**3
    return 0.15781817 + 2.32443916 * r - 2.16310839 * r**2 + 0.68841818 * r**3


def published_drift(name: str, r: float) -> tuple[float, float]:
    if name == "generic":
        log = math.log(max(r, 1e-7))
        return clip(-0.0155 * log + 0.0244, 0.049, 0.1), clip(-0.0125 * log - 0.0059, 0.008, 0.045)
    log = math.log(max(r, 1e-7))
    mean = clip(-0.0387 * log - 0.0182, 0.0720, 0.13) if r < 0.0945 else -0.0436 * r**2 - 0.0126 * r + 0.0736
    if name == "two":
        low = clip(-0.0117 * log - 0.0057, 0.0091, 0.04)
        return mean, low if r < 0.3055 else -0.0118 * r**2 + 0.0093 * r + 0.0073
    low = clip(-0.0120 * log - 0.0023, 0.0124, 0.04)
    return mean, low if r < 0.3039 else -0.0165 * r**2 + 0.0116 * r + 0.0104


def published_read(name: str, r: float) -> float:
    if name == "generic":
        return min(0.0088 / max(r**0.65, 1e-3), 0.2)
    log = math.log(max(r, 1e-7))
    if name == "two":
        low = clip(-0.0117 * log - 0.0069, 0.015, 0.04)
        return low if r < 0.16 else 0.0069 * r**3 - 0.0280 * r**2 + 0.0211 * r + 0.0123
    low = clip(-0.0078 * log + 0.0038, 0.0179, 0.04)
    return low if r < 0.1591 else 0.0664 * r**3 - 0.1352 * r**2 + 0.0768 * r + 0.0088


def draws(seed: int, n: int = N) -> np.ndarray:
    return np.random.Generator(np.random.Philox(seed)).standard_normal(n)


def deviation_tolerance(n: int) -> float:
    """Relative standard error of a deviation estimated from n normal numbers, times N_SIGMA."""
    return N_SIGMA / math.sqrt(2 * n)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("r", [0.5, 0.84, 1.0])
def test_programmed_conductances_have_the_published_mean_and_deviation(name: str, r: float) -> None:
    model = MODELS[name]
    programmed = model.program(np.full(N, r * model.g_max_us), draws(1))
    expected = published_programming(name, r)
    assert programmed.mean() == pytest.approx(r * model.g_max_us, abs=N_SIGMA * expected / math.sqrt(N))
    assert programmed.std() == pytest.approx(expected, rel=deviation_tolerance(N))


def test_the_deviation_has_the_known_values_of_the_generic_model() -> None:
    r = np.linspace(0, 1, 1001)
    deviation = GENERIC.programming_deviation_us(r * 25.0)
    assert deviation[0] == pytest.approx(0.263, abs=5e-4)
    assert deviation[-1] == pytest.approx(1.055, abs=5e-4)
    assert deviation.max() == pytest.approx(1.086, abs=5e-4)
    assert r[deviation.argmax()] == pytest.approx(0.84, abs=5e-3)


@pytest.mark.parametrize("name", MODELS)
def test_an_empty_device_is_a_normal_number_cut_off_at_zero(name: str) -> None:
    model = MODELS[name]
    programmed = model.program(np.zeros(N), draws(2))
    sigma = published_programming(name, 0.0)
    assert (programmed >= 0).all()
    assert (programmed == 0).mean() == pytest.approx(0.5, abs=N_SIGMA * 0.5 / math.sqrt(N))
    assert programmed.mean() == pytest.approx(sigma / math.sqrt(2 * math.pi), rel=N_SIGMA * 1.5 / math.sqrt(N))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("r", [0.01, 0.05, 0.12, 0.2, 0.4, 0.7, 1.0])
def test_drift_exponents_are_distributed_as_published(name: str, r: float) -> None:
    model = MODELS[name]
    exponents = model.drift_exponents(np.full(N, r * model.g_max_us), draws(3))
    mean, deviation = published_drift(name, r)
    # the absolute value moves mean and deviation where zero is less than four deviations away; compare quantiles there
    normal = np.abs(mean + deviation * np.random.default_rng(4).standard_normal(N))
    assert exponents.mean() == pytest.approx(mean, abs=N_SIGMA * deviation / math.sqrt(N) + abs(normal.mean() - mean))
    assert np.median(exponents) == pytest.approx(mean, abs=N_SIGMA * 1.2533 * deviation / math.sqrt(N) + 1e-4)
    assert exponents.std() == pytest.approx(normal.std(), rel=2 * deviation_tolerance(N))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("age_s", [1.0, 3600.0, 86_400.0, 31_536_000.0])
def test_conductances_decay_as_a_power_of_time(name: str, age_s: float) -> None:
    model = MODELS[name]
    t_0 = {"generic": 20.0, "one": 200.0, "two": 300.0}[name]
    exponents = np.array([0.0, 0.031, 0.05, 0.1])
    drifted = model.drift(np.full(4, 7.0), exponents, age_s)
    assert drifted == pytest.approx([7.0 * ((age_s + t_0) / t_0) ** -nu for nu in exponents], rel=1e-12)
    slope = np.polyfit(exponents, np.log(drifted), 1)[0]
    assert slope == pytest.approx(-math.log((age_s + t_0) / t_0), rel=1e-9)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("r", [0.02, 0.1, 0.159, 0.3, 1.0])
def test_reads_scatter_as_published(name: str, r: float) -> None:
    model = MODELS[name]
    t_0, t_read = {"generic": (20.0, 250e-9), "one": (200.0, 512e-9), "two": (300.0, 512e-9)}[name]
    programmed, present, age_s = np.full(N, r * model.g_max_us), np.full(N, 0.8 * r * model.g_max_us), 3600.0
    read = model.read_out(programmed, present, age_s, draws(5))
    expected = present[0] * published_read(name, r) * math.sqrt(math.log((age_s + t_0 + t_read) / (2 * t_read)))
    assert read.mean() == pytest.approx(present[0], abs=N_SIGMA * expected / math.sqrt(N) + 2e-3 * expected)
    assert read.std() == pytest.approx(expected, rel=deviation_tolerance(N) + 2e-2 * (expected > 0.3 * present[0]))


def test_another_range_has_errors_in_proportion() -> None:
    wide = GENERIC.with_range(50.0)
    r = np.linspace(0, 1, 11)
    assert wide.programming_deviation_us(50 * r) == pytest.approx(2 * GENERIC.programming_deviation_us(25 * r))
    assert wide.drift_exponents(50 * r, r) == pytest.approx(GENERIC.drift_exponents(25 * r, r))


def test_the_read_noise_of_a_full_device_at_twenty_seconds_is_3_7_percent() -> None:
    full = np.array([25.0])
    assert GENERIC.read_deviation_us(full, full, 0.0)[0] / 25.0 == pytest.approx(0.037, abs=5e-4)


@given(st.sampled_from(list(MODELS.values())), st.floats(0, 1), st.floats(-6, 6), st.floats(0, 1e9))
def test_conductances_are_never_negative(model: PcmModel, r: float, normal: float, age_s: float) -> None:
    target, number = np.array([r * model.g_max_us]), np.array([normal])
    programmed = model.program(target, number)
    present = model.drift(programmed, model.drift_exponents(target, number), age_s)
    read = model.read_out(programmed, present, age_s, number)
    assert min(programmed[0], present[0], read[0]) >= 0
    assert present[0] <= programmed[0]
    assert np.isfinite(read[0])
