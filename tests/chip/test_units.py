"""Quantities: exact, with their unit, or refused."""

import re
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator import units


@pytest.mark.parametrize(
    ("parse", "text", "amount"),
    [
        (units.parse_time_ps, "130 ns", 130_000),
        (units.parse_time_ps, "0.001 ns", 1),
        (units.parse_time_ps, "2.5us", 2_500_000),
        (units.parse_size_bytes, "1 MiB", 1 << 20),
        (units.parse_size_bytes, "1.5 GB", 1_500_000_000),
        (units.parse_frequency_hz, "1 GHz", 10**9),
        (units.parse_bytes_per_cycle, "64 B/cycle", 64),
        (units.parse_cycles, "0 cycles", 0),
        (units.parse_millicycles, "9.6 cycles/element", 9600),
    ],
)
def test_a_quantity_becomes_a_whole_number_of_its_base_unit(
    parse: Callable[[object], int], text: str, amount: int
) -> None:
    assert parse(text) == amount


@pytest.mark.parametrize(
    ("parse", "value", "message"),
    [
        (units.parse_time_ps, 130, "expected a time such as '130 ns', got 130 without a unit"),
        (units.parse_time_ps, "130", "expected a time such as '130 ns', got '130'"),
        (units.parse_time_ps, "130 MiB", "expected a time such as '130 ns', got '130 MiB' (known units: ps, ns"),
        (units.parse_time_ps, "5", "got '5' without a unit"),
        (units.parse_time_ps, "1e9 s", "got '1e9 s'; exponents are not read: write the digits out"),
        (units.parse_size_bytes, "1 KB", "got '1 KB' (known units: B, kB, MB, GB, KiB, MiB, GiB); did you mean 'kB'?"),
        (units.parse_time_ps, "0.0001 ns", "not a whole number of picoseconds"),
        (units.parse_time_ps, "-3 ns", "at least 1 picoseconds, got '-3 ns'"),
        (units.parse_time_ps, "1.001 s", "expected a time such as '130 ns', at most 1 s, got '1.001 s'"),
        (units.parse_cycles, "9" * 30 + " cycles", "at most 1000000 cycles, got '9999"),
        (units.parse_millicycles, "10001 cycles/element", "at most 10000 cycles/element, got '10001 cycles/element'"),
        (units.parse_size_bytes, "2000000 GiB", "at most 1048576 GiB, got '2000000 GiB'"),
        (units.parse_bytes_per_cycle, "2000 KiB/cycle", "at most 1048576 B/cycle, got '2000 KiB/cycle'"),
        (units.parse_frequency_hz, "999 kHz", "at least 1000000 hertz, got '999 kHz'"),
        (
            units.parse_ohms,
            "9" * 400 + " ohm",
            "expected a resistance such as '0.35 ohm', below 1e+24 in any unit, got",
        ),
        (units.parse_size_bytes, "0.3 B", "not a whole number of bytes"),
        (units.parse_bytes_per_cycle, "64 B", "expected a width such as '64 B/cycle', got '64 B'"),
        (units.parse_cycles, True, "without a unit"),
        (units.parse_cycles, None, "got None without a unit"),
    ],
)
def test_anything_else_is_refused_and_says_what_was_expected(
    parse: Callable[[object], int], value: object, message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        parse(value)


@given(amount=st.integers(1, 10**12), unit=st.sampled_from(["ps", "ns", "us", "ms", "s"]))
def test_times_are_exact_however_they_are_written(amount: int, unit: str) -> None:
    per_unit = {"ps": 1, "ns": 10**3, "us": 10**6, "ms": 10**9, "s": 10**12}[unit]
    digits = len(str(per_unit)) - 1
    whole, rest = divmod(amount, per_unit)
    text = f"{whole}.{rest:0{digits}d} {unit}" if digits else f"{whole} {unit}"
    assert units.parse_time_ps(text) == amount
    assert Fraction(text.split(maxsplit=1)[0]) * per_unit == amount
