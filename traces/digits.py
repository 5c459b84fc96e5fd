"""Numbers as text for people: a given number of digits that count, zeros at the end kept, no exponents."""

from collections.abc import Sequence
from math import floor, log10


def significant(value: float | None, n_digits: int) -> str:
    """Write a number with so many digits that count, or all those before the point; a dash for one not known."""
    if value is None:
        return "-"
    return f"{value:,.{_decimals(value, n_digits)}f}"


def aligned(values: Sequence[float], n_digits: int) -> list[str]:
    """Write the numbers of a column with as many decimals each as show ``n_digits`` that count of the least of them."""
    decimals = max((_decimals(value, n_digits) for value in values), default=0)
    return [f"{value:,.{decimals}f}" for value in values]


def rounded(value: float) -> str:
    """Write a number with one decimal, or none where that is zero."""
    return f"{value:,.1f}".removesuffix(".0")


def _decimals(value: float, n_digits: int) -> int:
    return max(0, n_digits - 1 - floor(log10(abs(value)))) if value else 0
