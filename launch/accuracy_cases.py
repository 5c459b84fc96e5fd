"""What ``aimc accuracy`` measures: the chip's analog models, changed case by case."""

from collections.abc import Iterator
from dataclasses import dataclass

from emulator.chip.analog import Adc, Analog, Devices
from emulator.chip.ima import MAX_ADC_BITS, MIN_ADC_BITS, PcmIma
from emulator.chip.spec import Chip
from emulator.errors import ConfigError

#: Times since programming, in seconds: name to time. Months have 30 days and years 365.
AGES_S = {
    "1 s": 1.0,
    "1 hour": 3600.0,
    "1 day": 86_400.0,
    "1 month": 2_592_000.0,
    "1 year": 31_536_000.0,
}

#: The converter that is swept where the chip has ideal ones.
CALIBRATED_ADC = Adc.model_construct(range="per_column", fixed_range=None, gain_spread=0.0, nonlinearity_lsb=0.0)


@dataclass(frozen=True, slots=True)
class Case:
    """One point of one curve.

    Attributes:
        group: which curve it belongs to.
        label: which point, in words.
        x: which point, as a number: seconds, bits or rows; None where there is no such number.
        ima: the crossbars.
        is_random: whether the seed changes the result.
    """

    group: str
    label: str
    x: float | None
    ima: PcmIma
    is_random: bool

    @property
    def variant(self) -> tuple[int, int]:
        """Rows and columns of the crossbars: cases that share them share a mapping."""
        return self.ima.rows, self.ima.columns


@dataclass(frozen=True, slots=True)
class Sweeps:
    """Which values are swept."""

    adc_bits: tuple[int, ...]
    sizes: tuple[int, ...]


def make_cases(chip: Chip, sweeps: Sweeps) -> list[Case]:
    """List all cases of a chip.

    Raises:
        ConfigError: the chip's crossbars are ideal, so that there is nothing to measure; or its ADCs cannot have as
            many bits as asked for, or a crossbar of a size asked for has no room for a weight.
    """
    ima = chip.cluster.ima
    if not isinstance(ima, PcmIma):
        raise ConfigError(
            f"{chip.name}: its crossbars are digital and exact: accuracy is that of the quantised network"
        )
    if ima.analog == Analog():
        raise ConfigError(
            f"{chip.name}: its crossbars are ideal, so accuracy is that of the quantised network; describe what is not "
            "ideal under cluster.ima.analog (configs/chips/bruschi2023-pcm.yaml shows how)"
        )
    _check_adc_bits(sweeps.adc_bits)
    if min(sweeps.sizes, default=ima.analog.slices) < ima.analog.slices:
        raise ConfigError(f"--sizes: a weight takes {ima.analog.slices} columns (slices), got {min(sweeps.sizes)}")
    cases = [*_base_cases(ima), *_age_cases(ima)]
    if all(case.ima != ima for case in cases):  # without devices that drift, or at an age of its own
        cases.insert(1, _case("reference", "the chip as it is", ima))
    return [*cases, *_adc_cases(ima, sweeps), *_size_cases(ima, sweeps)]


def _check_adc_bits(adc_bits: tuple[int, ...]) -> None:
    for bits in adc_bits:
        if not MIN_ADC_BITS <= bits <= MAX_ADC_BITS:
            raise ConfigError(f"--adc-bits: expected {MIN_ADC_BITS} to {MAX_ADC_BITS} bits, got {bits}")


def _base_cases(ima: PcmIma) -> Iterator[Case]:
    yield _case("reference", "ideal crossbars", _with(ima, Analog()))
    if ima.analog.devices is not None:
        yield _case("reference", "all but devices and wires", _with(ima, _change(ima.analog, devices=None)))


def _age_cases(ima: PcmIma) -> Iterator[Case]:
    devices = ima.analog.devices
    if devices is None:
        return
    fresh = devices.model_copy(update={"age_s": 0.0, "drift": False, "read_noise": False})
    yield _case("after programming", "programmed", _with(ima, _change(ima.analog, devices=fresh)), 0.0)
    for compensated in (True, False):
        group = "drift, compensated" if compensated else "drift, not compensated"
        for name, age_s in AGES_S.items():
            update = {"age_s": age_s, "drift": True, "drift_compensation": compensated}
            aged = devices.model_copy(update=update)
            yield _case(group, name, _with(ima, _change(ima.analog, devices=aged)), age_s)


def _adc_cases(ima: PcmIma, sweeps: Sweeps) -> Iterator[Case]:
    adc = ima.analog.adc or CALIBRATED_ADC
    plain = adc.model_copy(update={"gain_spread": 0.0, "nonlinearity_lsb": 0.0})
    for bits in sweeps.adc_bits:
        alone = Analog(slices=ima.analog.slices, cells=ima.analog.cells).model_copy(update={"adc": plain})
        yield _case("ADC alone", f"{bits} bit", _with(ima, alone, adc_bits=bits), float(bits))
    for bits in sweeps.adc_bits:
        among_others = ima.analog.model_copy(update={"adc": adc})
        yield _case("ADC with all models", f"{bits} bit", _with(ima, among_others, adc_bits=bits), float(bits))


def _size_cases(ima: PcmIma, sweeps: Sweeps) -> Iterator[Case]:
    for size in sweeps.sizes:
        yield _case("crossbar size", f"{size} x {size}", _with(ima, ima.analog, rows=size, columns=size), float(size))


def _change(analog: Analog, *, devices: Devices | None) -> Analog:
    """Return the models with other devices; without any, what needs them goes, too."""
    needing = {} if devices is not None else {"wires": None, "faults": None}
    return analog.model_copy(update={"devices": devices, **needing})


def _with(ima: PcmIma, analog: Analog, **changes: int) -> PcmIma:
    return ima.model_copy(update={"models": analog, **changes})


def _case(group: str, label: str, ima: PcmIma, x: float | None = None) -> Case:
    return Case(group, label, x, ima, _is_random(ima.analog))


def _is_random(analog: Analog) -> bool:
    devices, faults, adc = analog.devices, analog.faults, analog.adc
    return any(
        (
            devices is not None and (devices.programming_noise or devices.drift or devices.read_noise),
            faults is not None,
            adc is not None and (adc.gain_spread or adc.nonlinearity_lsb),
            analog.output_noise,
        )
    )
