"""Numbers as text for people."""

import pytest

from traces.digits import aligned, significant


@pytest.mark.parametrize(
    ("value", "n_digits", "text"),
    [
        (1.0, 3, "1.00"),
        (2413.7, 3, "2,414"),
        (0.044877, 3, "0.0449"),
        (-12.3456, 4, "-12.35"),
        (1234567.8, 4, "1,234,568"),
        (0.0, 3, "0"),
        (4.4e-7, 2, "0.00000044"),
        (None, 3, "-"),
    ],
)
def test_digits_that_count_are_kept_and_exponents_avoided(value: float | None, n_digits: int, text: str) -> None:
    assert significant(value, n_digits) == text


def test_a_column_has_as_many_decimals_as_its_least_number_needs() -> None:
    assert aligned([2413.7, 1.0, 16.2], 4) == ["2,413.700", "1.000", "16.200"]
    assert aligned([516.2, 31.87], 3) == ["516.2", "31.9"]
    assert aligned([], 3) == []
