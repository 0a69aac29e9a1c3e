"""What a runner prints, in whatever pieces and amounts: bounded lines, bounded rates, last words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zmesh.config.box import LauncherLimits
from zmesh.node.launcher.output import CUT, Output, split_priority

LIMITS = LauncherLimits(line_bytes_max=10, lines_per_second_max=5, last_words_lines=3)


def test_lines_come_out_whole() -> None:
    output = Output(LIMITS)
    assert output.feed(b"on", 0.0) == []
    assert output.feed(b"e\ntwo\nth", 0.0) == ["one", "two"]
    assert output.last_words == ("one", "two", "th")
    assert output.finish(0.0) == ["th"]
    assert output.finish(0.0) == []
    assert output.last_words == ("one", "two", "th")


def test_empty_lines_and_trailing_space_are_left_out() -> None:
    assert Output(LIMITS).feed(b"a  \r\n\n  \nb\n", 0.0) == ["a", "b"]


def test_a_line_of_the_longest_length_is_whole_and_a_longer_one_is_cut() -> None:
    output = Output(LIMITS)
    assert output.feed(b"0123456789\n", 0.0) == ["0123456789"]
    assert output.feed(b"01234567890\n", 0.0) == ["0123456789" + CUT]
    assert output.feed(b"short\n", 0.0) == ["short"]


def test_a_line_without_end_holds_no_memory() -> None:
    output = Output(LIMITS)
    for _ in range(1000):
        assert output.feed(b"x" * 1000, 0.0) == []
    assert output.last_words == ("x" * 10 + CUT,)
    assert output.feed(b"\n", 0.0) == ["x" * 10 + CUT]


def test_more_lines_than_a_second_has_room_for_are_counted() -> None:
    output = Output(LIMITS)
    assert output.feed(b"a\n" * 4, 10.0) == ["a"] * 4
    assert output.feed(b"b\n" * 4, 10.9) == ["b"]
    assert output.feed(b"c\n", 11.0) == ["(3 more lines in that second are not shown)", "c"]
    assert output.feed(b"d\n", 12.0) == ["d"]


def test_last_words_are_heard_even_when_too_many_were_said() -> None:
    output = Output(LIMITS)
    output.feed(b"a\n" * 100 + b"Traceback\nwhy\n", 10.0)
    assert output.last_words == ("a", "Traceback", "why")


def test_bytes_that_are_no_text() -> None:
    assert Output(LIMITS).feed(b"\xff\xc3\n", 0.0) == [r"\xff\xc3"]


@given(st.lists(st.binary(max_size=40)))
def test_pieces_make_no_difference(pieces: list[bytes]) -> None:
    limits = LauncherLimits(line_bytes_max=10)
    whole, cut = Output(limits), Output(limits)
    expected = whole.feed(b"".join(pieces), 1.0) + whole.finish(1.0)
    assert [line for piece in pieces for line in cut.feed(piece, 1.0)] + cut.finish(1.0) == expected


def test_last_words_are_told_without_the_priority_before_them() -> None:
    output = Output(LIMITS)
    assert output.feed(b"<3>why\n<6>\n<x>", 0.0) == ["<3>why", "<6>"]
    assert output.last_words == ("why", "", "<x>")


@pytest.mark.parametrize(
    ("line", "priority", "text"),
    [("<3>why", 3, "why"), ("<0>", 0, ""), ("why <3>", 6, "why <3>"), ("<9>why", 6, "<9>why"), ("", 6, "")],
)
def test_a_line_may_begin_with_its_priority(line: str, priority: int, text: str) -> None:
    assert split_priority(line) == (priority, text)
