"""Numbers as people read them; foreign text that cannot act on the terminal."""

from __future__ import annotations

import math

import pytest

from cockpit.text.format import counted, decimal, duration, escape_control, number, rate


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("", ""),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("two\nlines\ttab\rreturn", "two\\nlines\\ttab\\rreturn"),
        ("\x9b31m", "\\x9b31m"),
        ("right\u202eleft", "right\\u202eleft"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("\u2028", "\\u2028"),
        ("bad\udcffbyte", "bad\\udcffbyte"),
        ("[bold]kept[/]", "[bold]kept[/]"),
        ("日本 é ü", "日本 é ü"),
    ],
)
def test_what_a_terminal_would_act_upon_is_written_out(text: str, shown: str) -> None:
    assert escape_control(text) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        (math.nan, "NaN"),
        (math.inf, "Inf"),
        (-math.inf, "-Inf"),
        (0.0, "0"),
        (1.63214, "1.632"),
        (1e-12, "1e-12"),
        (1e12, "1e+12"),
    ],
)
def test_numbers_are_short_and_never_silent_about_what_is_not_finite(value: float | None, shown: str) -> None:
    assert number(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.34, "0.340"),
        (-13.1364, "-13.136"),
        (0.0, "0.000"),
        (0.01, "0.010"),
        (0.00012345, "0.0001234"),
        (-1e-300, "-1e-300"),
        (1e300, "1e+300"),
        (123456.7, "123456.700"),
        (math.nan, "NaN"),
        (-math.inf, "-Inf"),
    ],
)
def test_decimals_are_given_up_where_they_would_hide_a_number(value: float, shown: str) -> None:
    assert decimal(value, 3) == shown


@pytest.mark.parametrize(("value", "shown"), [(5e-6, "5.00e-06"), (1e-8, "1.00e-08"), (0.001, "1.00e-03")])
def test_a_learning_rate_never_looks_like_zero(value: float, shown: str) -> None:
    assert rate(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "unknown"),
        (math.inf, "unknown"),
        (-3, "0 s"),
        (12.9, "12 s"),
        (185, "3 min 05 s"),
        (7620, "2 h 07 min"),
        (4 * 86400 + 3 * 3600, "4 d 03 h"),
    ],
)
def test_times_are_told_in_their_two_largest_units(seconds: float | None, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.parametrize(("count", "shown"), [(0, "0 batches"), (1, "1 batch"), (12, "12 batches")])
def test_one_thing_is_counted_in_the_singular(count: int, shown: str) -> None:
    assert counted(count, "batch") == shown
