"""Phase-change memory: published statistics of programming, drift and read noise of one device.

Conductances are in microsiemens, times in seconds since programming, logarithms natural. Each function takes standard
normal numbers as an argument, so that it is the published formula and nothing else.

Three sets of parameters, all as IBM's AIHWKIT publishes them (M. Rasch et al., AICAS 2021, arXiv:2104.02184):

- ``GENERIC``: its default model, fitted to devices of S. Nandakumar et al., ICECS 2019.
- ``HERMES_TWO_DEVICES`` and ``HERMES_ONE_DEVICE``: fitted to the 64-core chip of M. Le Gallo et al., Nature Electronics
  2023, with two or one device per polarity of a weight.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float64]

#: Relative conductances are taken to be at least this where their logarithm is needed, as AIHWKIT does.
_LEAST_RELATIVE = 1e-7


@dataclass(frozen=True, slots=True)
class ClippedLog:
    """The curve ``clip(slope * ln r + offset, low, high)`` over the relative conductance ``r``."""

    slope: float
    offset: float
    low: float
    high: float

    def __call__(self, relative: Real) -> Real:
        """Return the curve at relative conductances."""
        logarithm = np.log(np.maximum(relative, _LEAST_RELATIVE))
        return np.clip(self.slope * logarithm + self.offset, self.low, self.high)


@dataclass(frozen=True, slots=True)
class LogThenPolynomial:
    """A clipped logarithm below ``limit``, a polynomial (constant term first) from there on."""

    limit: float
    below: ClippedLog
    polynomial: tuple[float, ...]

    def __call__(self, relative: Real) -> Real:
        """Return the curve at relative conductances."""
        return np.where(relative < self.limit, self.below(relative), _polynomial(self.polynomial, relative))


@dataclass(frozen=True, slots=True)
class ClippedPower:
    """The curve ``min(factor / max(r ** exponent, 1e-3), high)``."""

    factor: float
    exponent: float
    high: float

    def __call__(self, relative: Real) -> Real:
        """Return the curve at relative conductances."""
        least = 1e-3 ** (1 / self.exponent)  # powers of zero are slow
        curve: Real = self.factor / np.maximum(relative, least) ** self.exponent
        return np.minimum(curve, self.high)


@dataclass(frozen=True, slots=True)
class PcmModel:
    """Statistics of one kind of device.

    Attributes:
        g_max_us: the largest conductance that is programmed.
        t_0_s: time of the first read-out, at which drift starts.
        t_read_s: duration of a read, for the 1/f noise.
        programming: deviation of a programmed conductance in microsiemens, a polynomial in the relative target
            (constant term first).
        drift_mean, drift_deviation: of the drift exponent, over the relative target.
        read: the factor Q of the 1/f noise, over the relative programmed conductance.
    """

    g_max_us: float
    t_0_s: float
    t_read_s: float
    programming: tuple[float, ...]
    drift_mean: ClippedLog | LogThenPolynomial
    drift_deviation: ClippedLog | LogThenPolynomial
    read: ClippedPower | LogThenPolynomial

    def with_range(self, g_max_us: float) -> "PcmModel":
        """Return the same devices programmed up to another conductance, with errors in proportion (as in AIHWKIT)."""
        factor = g_max_us / self.g_max_us
        return replace(self, g_max_us=g_max_us, programming=tuple(factor * each for each in self.programming))

    def programming_deviation_us(self, target_us: Real) -> Real:
        """Return the deviation of the programmed conductance of devices with the given targets."""
        return _polynomial(self.programming, target_us / self.g_max_us)

    def program(self, target_us: Real, normal: Real) -> Real:
        """Return programmed conductances: ``max(0, target + deviation * normal)``."""
        return np.maximum(target_us + self.programming_deviation_us(target_us) * normal, 0.0)

    def drift_exponents(self, target_us: Real, normal: Real) -> Real:
        """Return the drift exponents of devices, ``|mean + deviation * normal|``, drawn once when programmed."""
        relative = target_us / self.g_max_us
        return np.abs(self.drift_mean(relative) + self.drift_deviation(relative) * normal)

    def drift(self, programmed_us: Real, exponents: Real, time_s: float) -> Real:
        """Return conductances ``time_s`` after programming: ``g ((t + t_0) / t_0) ** -exponent``."""
        logarithm = math.log((time_s + self.t_0_s) / self.t_0_s)
        return programmed_us * np.exp(exponents * -logarithm)  # six times as fast as the power

    def read_deviation_us(self, programmed_us: Real, present_us: Real, time_s: float) -> Real:
        """Return the deviation of a read from the accumulated 1/f noise.

        ``present * Q(programmed) * sqrt(ln((t + t_0 + t_read) / (2 t_read)))``.
        """
        accumulated = math.sqrt(math.log((time_s + self.t_0_s + self.t_read_s) / (2 * self.t_read_s)))
        return present_us * self.read(programmed_us / self.g_max_us) * accumulated

    def read_out(self, programmed_us: Real, present_us: Real, time_s: float, normal: Real) -> Real:
        """Return conductances as read: ``max(0, present + deviation * normal)``."""
        return np.maximum(present_us + self.read_deviation_us(programmed_us, present_us, time_s) * normal, 0.0)


def _polynomial(coefficients: tuple[float, ...], x: Real) -> Real:
    value = np.full_like(x, coefficients[-1])  # numpy's polyval makes an array for every step
    for coefficient in reversed(coefficients[:-1]):
        value *= x
        value += coefficient
    return value


GENERIC = PcmModel(
    g_max_us=25.0,
    t_0_s=20.0,
    t_read_s=250e-9,
    programming=(0.26348, 1.9650, -1.1731),
    drift_mean=ClippedLog(-0.0155, 0.0244, 0.049, 0.1),
    drift_deviation=ClippedLog(-0.0125, -0.0059, 0.008, 0.045),
    read=ClippedPower(0.0088, 0.65, 0.2),
)

_HERMES_DRIFT_MEAN = LogThenPolynomial(
    0.0945, ClippedLog(-0.0387, -0.0182, 0.0720, 0.13), (0.0736, -0.0126, -0.0436)
)  # fmt: skip

HERMES_TWO_DEVICES = PcmModel(
    g_max_us=20.7,
    t_0_s=300.0,
    t_read_s=512e-9,
    programming=(0.16603222, 4.71806468, -8.48101252, 4.68961419),
    drift_mean=_HERMES_DRIFT_MEAN,
    drift_deviation=LogThenPolynomial(
        0.3055, ClippedLog(-0.0117, -0.0057, 0.0091, 0.04), (0.0073, 0.0093, -0.0118)
    ),
    read=LogThenPolynomial(
        0.16, ClippedLog(-0.0117, -0.0069, 0.015, 0.04), (0.0123, 0.0211, -0.0280, 0.0069)
    ),
)  # fmt: skip

HERMES_ONE_DEVICE = PcmModel(
    g_max_us=10.35,
    t_0_s=200.0,
    t_read_s=512e-9,
    programming=(0.15781817, 2.32443916, -2.16310839, 0.68841818),
    drift_mean=_HERMES_DRIFT_MEAN,
    drift_deviation=LogThenPolynomial(
        0.3039, ClippedLog(-0.0120, -0.0023, 0.0124, 0.04), (0.0104, 0.0116, -0.0165)
    ),
    read=LogThenPolynomial(
        0.1591, ClippedLog(-0.0078, 0.0038, 0.0179, 0.04), (0.0088, 0.0768, -0.1352, 0.0664)
    ),
)  # fmt: skip

#: The parameter sets by the names that chip files use.
PARAMETER_SETS = {
    "generic": GENERIC,
    "hermes_one_device": HERMES_ONE_DEVICE,
    "hermes_two_devices": HERMES_TWO_DEVICES,
}
