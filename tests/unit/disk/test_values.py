"""Values of settings: what is expected and what was found, in an operator's words; text of variables and flags."""

from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta

from zmesh.disk.values import convert, expectation, parse_text, shown

Count = Annotated[int, Meta(ge=1, le=64)]


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        (Count, "a whole number from 1 to 64"),
        (Annotated[int, Meta(ge=1)], "a whole number of at least 1"),
        (Annotated[int, Meta(ge=1, le=64 * 1024 * 1024)], "a whole number from 1 to 67108864"),
        (Annotated[float, Meta(gt=0, le=3600)] | None, "a number above 0 and of at most 3600"),
        (int, "a whole number"),
        (bool, "true or false"),
        (str, "text in quotes"),
        (Literal["none"], "'none'"),
        (Annotated[int, Meta(ge=1, le=4)] | Literal["per-gpu"], "a whole number from 1 to 4 or 'per-gpu'"),
        (list[str], "a list, each item text in quotes"),
        (dict[str, str], "a table, each value text in quotes"),
        (Annotated[str, Meta(pattern="^a$", description="the letter a")], "the letter a"),
    ],
)
def test_expectation(expected: Any, words: str) -> None:
    assert expectation(expected) == words


def test_a_value_that_fits_is_converted() -> None:
    assert convert(4, Count) == 4
    assert convert(4, float) == 4.0
    assert convert([0, [1]], list[int | list[int]]) == [0, [1]]


@pytest.mark.parametrize("value", ["four", 0, 65, 4.5, True, float("nan")])
def test_a_value_that_does_not_fit_says_what_would(value: object) -> None:
    with pytest.raises(ValueError, match=r"^expected a whole number from 1 to 64, got "):
        convert(value, Count)


@pytest.mark.parametrize("value", [float("inf"), float("nan"), float("-inf")])
def test_no_setting_is_infinite(value: float) -> None:
    with pytest.raises(ValueError, match="expected a number"):
        convert(value, Annotated[float, Meta(ge=0)])


def test_the_place_in_a_list_is_named() -> None:
    with pytest.raises(ValueError, match=r"got \[1\] .*\$\[0\]"):
        convert([1], list[str])


@pytest.mark.parametrize(
    ("text", "expected", "value"),
    [
        (" 8 ", Count, 8),
        ("eight", Count, "eight"),
        ("1.5", float, 1.5),
        ("2", Annotated[float, Meta(gt=0)] | None, 2.0),
        ("per-gpu", Count | Literal["per-gpu"], "per-gpu"),
        ("3", Count | Literal["per-gpu"], 3),
        ("Yes", bool, True),
        ("1", bool, True),
        ("off", bool, False),
        ("0", bool, False),
        ("maybe", bool, "maybe"),
        ("1.2.3.4:5, 1.2.3.5:6,", list[str], ["1.2.3.4:5", "1.2.3.5:6"]),
        ("7400", str, "7400"),
    ],
)
def test_text(text: str, expected: Any, value: object) -> None:
    parsed = parse_text(text, expected)
    assert parsed == value
    assert type(parsed) is type(value)


def test_what_was_found_fits_a_line() -> None:
    assert shown(True) == "true"
    assert shown("x\ny") == r"'x\ny'"
    assert len(shown("x" * 1000)) == 80
