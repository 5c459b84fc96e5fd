"""Quantities with units, parsed exactly: "130 ns", "1 MiB", "64 B/cycle", "9.6 cycles/element".

Numbers go through ``Fraction``, never through a float, and every result is a whole number of the unit that the rest of
the emulator counts in. A bare number, a unit of another kind and a fraction of that unit are refused.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

from traces.quantities import HZ_PER, PS_PER, read_quantity, real_parser

_BYTES_PER = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_PER_CYCLE = {"B/cycle": 1, "KiB/cycle": 2**10}
_CYCLES = {"cycles": 1, "cycle": 1}
_MILLICYCLES = {"cycles/element": 1000, "cycle/element": 1000}


def _parser(
    kind: str, example: str, counted_in: str, units: Mapping[str, int], *, least: int, most: str
) -> Callable[[Any], int]:
    expected = f"expected {kind} such as '{example}'"
    bound = read_quantity(most, expected, units)

    def parse(value: Any) -> int:  # noqa: ANN401 (whatever stands in the file)
        amount = read_quantity(value, expected, units)
        if amount.denominator != 1:
            raise ValueError(f"{expected}, got '{value}', which is not a whole number of {counted_in}")
        if amount < least:
            raise ValueError(f"{expected}, at least {least} {counted_in}, got '{value}'")
        if amount > bound:
            raise ValueError(f"{expected}, at most {most}, got '{value}'")
        return int(amount)

    return parse


# Upper bounds lie far beyond any chip. They keep sums of times within the 64-bit integers of the timing plane: at the
# slowest clock, the largest number of cycles takes as long as the longest time.
parse_time_ps = _parser("a time", "130 ns", "picoseconds", PS_PER, least=1, most="1 s")
parse_size_bytes = _parser("a size", "1 MiB", "bytes", _BYTES_PER, least=1, most="1048576 GiB")
parse_frequency_hz = _parser("a frequency", "1 GHz", "hertz", HZ_PER, least=10**6, most="1000 GHz")
parse_bytes_per_cycle = _parser("a width", "64 B/cycle", "bytes per cycle", _PER_CYCLE, least=1, most="1048576 B/cycle")
parse_cycles = _parser("a number of cycles", "4 cycles", "cycles", _CYCLES, least=0, most="1000000 cycles")
parse_millicycles = _parser(
    "a cost", "1.5 cycles/element", "thousandths of a cycle", _MILLICYCLES, least=0, most="10000 cycles/element"
)

# For files: the text of a quantity in, an integer out, and back to text in the smallest unit.
TimePs = Annotated[int, BeforeValidator(parse_time_ps), PlainSerializer("{} ps".format)]
SizeBytes = Annotated[int, BeforeValidator(parse_size_bytes), PlainSerializer("{} B".format)]
FrequencyHz = Annotated[int, BeforeValidator(parse_frequency_hz), PlainSerializer("{} Hz".format)]
BytesPerCycle = Annotated[int, BeforeValidator(parse_bytes_per_cycle), PlainSerializer("{} B/cycle".format)]
Cycles = Annotated[int, BeforeValidator(parse_cycles), PlainSerializer("{} cycles".format)]
MillicyclesPerElement = Annotated[
    int,
    BeforeValidator(parse_millicycles),
    PlainSerializer(lambda amount: f"{amount // 1000}.{amount % 1000:03d} cycles/element"),
]


# Parameters of analog models are real numbers: nothing is counted in them.

_SECONDS_PER = {"s": 1, "minute": 60, "minutes": 60, "hour": 3600, "hours": 3600, "day": 86_400, "days": 86_400}
_SECONDS_PER |= {"month": 2_592_000, "months": 2_592_000, "year": 31_536_000, "years": 31_536_000}  # 30 and 365 days


def _exact_text(unit: str, factor: int = 1) -> PlainSerializer:
    """Write a number so that reading it again gives the same one."""
    return PlainSerializer(lambda amount: f"{Decimal(repr(amount)) * factor:f} {unit}")


parse_ratio = real_parser("a ratio", "1.5 %", {"%": 1}, 100)
parse_seconds = real_parser("a time", "1 day", _SECONDS_PER)
parse_ohms = real_parser("a resistance", "0.35 ohm", {"ohm": 1})
parse_microsiemens = real_parser("a conductance", "25 uS", {"uS": 1})
parse_lsb = real_parser("a deviation", "0.5 LSB", {"LSB": 1})

Ratio = Annotated[float, BeforeValidator(parse_ratio), _exact_text("%", 100)]
Seconds = Annotated[float, BeforeValidator(parse_seconds), _exact_text("s")]
Ohms = Annotated[float, BeforeValidator(parse_ohms), _exact_text("ohm")]
MicroSiemens = Annotated[float, BeforeValidator(parse_microsiemens), _exact_text("uS")]
LeastSignificantBits = Annotated[float, BeforeValidator(parse_lsb), _exact_text("LSB")]
