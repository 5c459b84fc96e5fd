"""Quantities with units as files write them: "130 ns", "1.5 pJ/B". Parsed exactly, through ``Fraction``.

Both the emulator and the analysis read chip files, so this stands where both may import it.
"""

import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

#: Picoseconds and hertz per unit.
PS_PER = {"ps": 1, "ns": 10**3, "us": 10**6, "µs": 10**6, "ms": 10**9, "s": 10**12}
HZ_PER = {"Hz": 1, "kHz": 10**3, "MHz": 10**6, "GHz": 10**9}

#: Real numbers beyond this are mistakes, and some way beyond it no floating-point number holds them.
_MOST = 10**24

_BARE = re.compile(r"\s*[+-]?\d+(?:\.\d+)?\s*")
_EXPONENT = re.compile(r"\s*[+-]?\d+(?:\.\d+)?[eE][+-]?\d")
_QUANTITY = re.compile(r"\s*([+-]?\d+(?:\.\d+)?)\s*(\S+)\s*")


def read_quantity(value: object, expected: str, units: Mapping[str, int]) -> Fraction:
    """Return the amount that a text such as "130 ns" states, in the unit whose factor in ``units`` is one.

    Args:
        value: whatever stands in the file.
        expected: the start of the message for anything else, such as "expected a time such as '130 ns'".
        units: factor of each known unit.

    Raises:
        ValueError: a bare number, no quantity, or an unknown unit; pydantic turns it into its own error.
    """
    if isinstance(value, bool) or not isinstance(value, str):
        raise ValueError(f"{expected}, got {value!r} without a unit")  # noqa: TRY004 (pydantic wants ValueError)
    if _BARE.fullmatch(value):
        raise ValueError(f"{expected}, got '{value}' without a unit")
    if _EXPONENT.match(value):
        raise ValueError(
            f"{expected}, got '{value}'; exponents are not read: write the digits out or take another unit"
        )
    match = _QUANTITY.fullmatch(value)
    if match is None:
        raise ValueError(f"{expected}, got '{value}'")
    number, unit = match.groups()
    if unit not in units:
        guess = next((f"; did you mean '{known}'?" for known in units if known.lower() == unit.lower()), "")
        raise ValueError(f"{expected}, got '{value}' (known units: {', '.join(units)}){guess}")
    return Fraction(number) * units[unit]


def real_parser(kind: str, example: str, units: Mapping[str, int], scale: int = 1) -> Callable[[Any], float]:
    """Return a parser of quantities that are real numbers, at least zero; ``scale`` is what stands for one."""

    def parse(value: Any) -> float:  # noqa: ANN401 (whatever stands in the file)
        expected = f"expected {kind} such as '{example}'"
        amount = read_quantity(value, expected, units)
        if amount < 0:
            raise ValueError(f"{expected}, at least zero, got '{value}'")
        if amount > _MOST:
            raise ValueError(f"{expected}, below {_MOST:.0e} in any unit, got '{value}'")
        return float(amount / scale)

    return parse


def _text(unit: str) -> PlainSerializer:
    return PlainSerializer(lambda amount: f"{amount:.12f} {unit}")


# For files: the text of a quantity in, a real number of the unit in the name out, and back to text.
EnergyPj = Annotated[
    float, BeforeValidator(real_parser("an energy", "12.5 pJ", {"pJ": 1000, "fJ": 1, "nJ": 10**6}, 1000)), _text("pJ")
]
EnergyPjPerByte = Annotated[
    float,
    BeforeValidator(real_parser("an energy per byte", "15.6 pJ/B", {"pJ/B": 1000, "fJ/B": 1}, 1000)),
    _text("pJ/B"),
]
PowerMw = Annotated[
    float, BeforeValidator(real_parser("a power", "1.5 mW", {"mW": 1000, "uW": 1, "W": 10**6}, 1000)), _text("mW")
]
AreaMm2 = Annotated[
    float, BeforeValidator(real_parser("an area", "0.63 mm2", {"mm2": 10**6, "um2": 1}, 10**6)), _text("mm2")
]
