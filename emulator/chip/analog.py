"""What is not ideal about an analog crossbar: every model under a key of its own, off where the key is absent."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from emulator.analog.pcm import PARAMETER_SETS, PcmModel
from emulator.config_file import Spec
from emulator.units import LeastSignificantBits, MicroSiemens, Ohms, Ratio, Seconds

Switch = Annotated[bool, Field(strict=True)]

_MAX_GAIN_SPREAD_PERCENT = 20
_MAX_OUTPUT_NOISE_PERCENT = 1000


class DeviceStatistics(StrEnum):
    """Published parameter sets of phase-change memory (``emulator.analog.pcm`` gives numbers and sources)."""

    GENERIC = "generic"
    HERMES_ONE_DEVICE = "hermes_one_device"
    HERMES_TWO_DEVICES = "hermes_two_devices"


class Devices(Spec):
    """The devices that hold the weights. With ``statistics`` alone they are programmed exactly and stay as they are.

    Attributes:
        statistics: which published devices; gives the range of conductances, too.
        programming_noise: conductances miss their targets.
        drift: conductances decay, each device with an exponent of its own.
        read_noise: 1/f noise; as drawn for the moment of the run, for all of its images.
        age_s: time from programming to the run, counted from the first read-out; by default 0, the least there is.
            Drift needs it, for without time nothing drifts.
        drift_compensation: the outputs of each crossbar are multiplied by the ratio of its mean absolute read-out right
            after programming to that of now.
        g_max_us: conductance of the largest weight of a crossbar; by default that of the statistics. Programming errors
            grow with it.
        g_min_us: target of a device that holds a zero; by default 0.
    """

    statistics: DeviceStatistics
    programming_noise: Switch = False
    drift: Switch = False
    read_noise: Switch = False
    age_s: Seconds = Field(default=0.0, alias="age")
    drift_compensation: Switch = False
    g_max_us: MicroSiemens | None = Field(default=None, alias="g_max")
    g_min_us: MicroSiemens = Field(default=0.0, alias="g_min")

    @property
    def model(self) -> PcmModel:
        """The statistics, for the range of conductances that the chip uses."""
        model = PARAMETER_SETS[self.statistics]
        return model if self.g_max_us is None else model.with_range(self.g_max_us)

    @model_validator(mode="after")
    def _time_to_drift(self) -> Self:
        if self.drift and "age_s" not in self.model_fields_set:
            raise ValueError("drift needs 'age', the time since programming, such as '1 day'")
        return self

    @model_validator(mode="after")
    def _a_range(self) -> Self:
        g_max_us = PARAMETER_SETS[self.statistics].g_max_us if self.g_max_us is None else self.g_max_us
        if g_max_us <= self.g_min_us:
            raise ValueError(f"expected g_max above g_min, got {g_max_us} and {self.g_min_us} uS")
        return self


class Faults(Spec):
    """What is broken, as shares of all devices and of all crossbars.

    Attributes:
        stuck_off: devices without conductance.
        stuck_on: devices stuck at the largest conductance; they do not drift.
        dead_crossbars: crossbars without any conductance: what their ADCs still give is noise and non-linearity.
    """

    stuck_off: Ratio = 0.0
    stuck_on: Ratio = 0.0
    dead_crossbars: Ratio = 0.0

    @model_validator(mode="after")
    def _shares(self) -> Self:
        if self.stuck_off + self.stuck_on > 1 or self.dead_crossbars > 1:
            raise ValueError("stuck_off and stuck_on are shares of all devices and dead_crossbars one of all crossbars")
        return self


class Wires(Spec):
    """IR drop along the lines; ``segment_ohm`` is the resistance of a line from one cell to the next."""

    segment_ohm: Ohms = Field(alias="segment")


class Adc(Spec):
    """Converters of ``adc_bits`` that round and clip; without this key they are ideal.

    Attributes:
        range: ``per_column``: each column of each crossbar reaches what calibration images need there. ``per_layer``:
            all columns of a layer reach what its largest sum needs. ``fixed``: every column reaches ``fixed_range``.
        fixed_range: for ``fixed`` only, the largest sum as a share of what a column full of the largest conductance
            gives under the largest inputs.
        gain_spread: deviation of the columns' gains from 1; at most 20 %, so that one gain in millions is negative.
        nonlinearity_lsb: how far the codes of a typical column are from a straight line at the worst of them: integral
            non-linearity, as a mean over the columns. Each has a curve of its own, see
            ``emulator.analog.converters.nonlinearity``.
    """

    range: Literal["per_column", "per_layer", "fixed"]
    fixed_range: Ratio | None = None
    gain_spread: Ratio = 0.0
    nonlinearity_lsb: LeastSignificantBits = Field(default=0.0, alias="integral_nonlinearity")

    @model_validator(mode="after")
    def _one_range(self) -> Self:
        if (self.range == "fixed") != (self.fixed_range is not None):
            raise ValueError("fixed_range is needed with 'range: fixed', and with no other")
        if self.fixed_range is not None and not 0 < self.fixed_range <= 1:
            raise ValueError("expected fixed_range above 0 % and at most 100 %")
        percent = 100 * self.gain_spread
        if percent > _MAX_GAIN_SPREAD_PERCENT:
            raise ValueError(f"expected gain_spread of at most {_MAX_GAIN_SPREAD_PERCENT} %, got {percent:.6g} %")
        return self


class Analog(Spec):
    """The models that are on.

    Attributes:
        slices: columns per weight, for cells of fewer bits than a weight.
        cells: ``rounding`` drops the bits of the weights for which ``weight_bits`` and ``slices`` have no room.
        devices: statistics of the devices; without it conductances are exact.
        faults: broken devices and crossbars; needs ``devices``.
        wires: IR drop; needs ``devices``, whose conductances it depends on.
        dac: ``rounding`` drops the bits of the inputs that ``dac_bits`` has no room for.
        adc: converters that round and clip.
        output_noise: deviation of normal noise on every output of every MVM, in units of what the largest conductance
            in place of a zero adds to a column's current under the largest input (AIHWKIT's ``out_noise``); at most ten
            such currents.
    """

    slices: Annotated[int, Field(ge=1, le=8, strict=True)] = 1
    cells: Literal["rounding"] | None = None
    devices: Devices | None = None
    faults: Faults | None = None
    wires: Wires | None = None
    dac: Literal["rounding"] | None = None
    adc: Adc | None = None
    output_noise: Ratio | None = None

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        percent = 100 * (self.output_noise or 0.0)
        if percent > _MAX_OUTPUT_NOISE_PERCENT:
            raise ValueError(
                f"expected output_noise of at most {_MAX_OUTPUT_NOISE_PERCENT} % of one device's largest current, got "
                f"{percent:.6g} %"
            )
        return self

    @model_validator(mode="after")
    def _devices_for(self) -> Self:
        for key in ("faults", "wires"):
            if getattr(self, key) is not None and self.devices is None:
                raise ValueError(f"'{key}' needs 'devices', which say what conductances there are")
        return self
