"""Log lines: JSON or text, one a line whatever values hold, the standard library's loggers among them."""

import io
import json
import logging
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from zmesh.telemetry.log import get_logger, set_up

HOSTILE = "a\nb\r\x1b[31m\x7f\x9b2J\u2028\u202e\u2066\x00"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Leave logging as it was: pytest's own capture hangs on the root logger."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    logging.captureWarnings(False)
    root.handlers[:], root.level = handlers, level


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def one(stream: io.StringIO) -> dict[str, Any]:
    [line] = lines(stream)
    return line


def to_json(**kwargs: Any) -> io.StringIO:
    stream = io.StringIO()
    set_up("node", node_id="box", stream=stream, **kwargs)
    return stream


def to_terminal() -> io.StringIO:
    stream = Terminal()
    set_up("node", node_id="box", stream=stream)
    return stream


def test_a_line_says_when_how_bad_what_and_who() -> None:
    stream = to_json()
    get_logger(service="ocr").info("runner started", pid=7, gpus=(0, 1))
    line = one(stream)
    assert list(line)[:3] == ["time", "level", "event"]
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "info",
        "event": "runner started",
        "service": "ocr",
        "pid": 7,
        "gpus": [0, 1],
        "process": "node",
        "node_id": "box",
    }


def test_what_a_line_says_itself_wins_over_what_is_bound() -> None:
    stream = to_json()
    get_logger().info("peer", node_id="other")
    assert one(stream)["node_id"] == "other"


def test_a_logger_made_before_set_up_follows_it() -> None:
    log = get_logger(service="ocr")
    first = to_json()
    log.info("one")
    second = to_json()
    log.info("two")
    assert (one(first)["event"], one(second)["event"]) == ("one", "two")


def test_less_severe_lines_are_left_out() -> None:
    stream = to_json(level="warning")
    get_logger().info("no")
    logging.getLogger("lib").info("no")
    get_logger().warning("yes")
    logging.getLogger("lib").warning("yes")
    assert [line["event"] for line in lines(stream)] == ["yes", "yes"]


@pytest.mark.parametrize(("stream", "log_format", "is_json"), [
    (io.StringIO, "auto", True), (Terminal, "auto", False), (Terminal, "json", True), (io.StringIO, "text", False),
])  # fmt: skip
def test_format(stream: type[io.StringIO], log_format: Any, is_json: bool) -> None:
    to = stream()
    set_up("node", log_format=log_format, stream=to)
    get_logger().info("event")
    assert to.getvalue().startswith("{") is is_json
    assert ("\x1b[" in to.getvalue()) is (stream is Terminal and not is_json)


def test_the_standard_library_goes_the_same_way() -> None:
    stream = to_json()
    logging.getLogger("gunicorn.error").warning("worker %d\n", 3)
    line = one(stream)
    assert (line["event"], line["level"], line["logger"]) == ("worker 3", "warning", "gunicorn.error")
    assert (line["process"], line["node_id"]) == ("node", "box")


def test_levels_between_the_usual_ones() -> None:
    stream = to_json()
    logging.getLogger("lib").log(35, "between")
    logging.getLogger("lib").log(99, "beyond")
    assert [line["level"] for line in lines(stream)] == ["warning", "critical"]


def test_arguments_that_do_not_fit_lose_nothing() -> None:
    stream = to_json()
    logging.getLogger("lib").error("%d of %d", "x")
    assert one(stream)["event"] == "%d of %d ('x',)"


def test_warnings_are_lines() -> None:
    stream = to_json()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        set_up("node", stream=stream)  # pytest shows warnings itself until this
        warnings.warn("old", UserWarning, stacklevel=1)
    assert "UserWarning: old" in one(stream)["event"]


@pytest.mark.parametrize("standard_library", [False, True])
def test_an_exception_brings_its_traceback(standard_library: bool) -> None:
    stream = to_json()
    try:
        raise ValueError("no such thing")
    except ValueError:
        (logging.getLogger("lib") if standard_library else get_logger()).exception("failed")
    line = one(stream)
    assert line["level"] == "error"
    assert line["exception"].endswith("ValueError: no such thing")


def test_json_holds_hostile_text_unharmed_and_harmless() -> None:
    stream = to_json()
    get_logger().info(HOSTILE, value=HOSTILE)
    written = stream.getvalue()
    assert written.count("\n") == 1
    assert written[:-1].isprintable()
    assert one(stream)["value"] == one(stream)["event"] == HOSTILE


def test_text_shows_control_characters_as_escapes() -> None:
    stream = to_terminal()
    set_up("node", log_format="text", stream=stream)
    get_logger().info(HOSTILE, value=HOSTILE, nested={"key": HOSTILE})
    written = stream.getvalue()
    assert written.count("\n") == 1
    escaped = r"a\nb\r\x1b[31m\x7f\x9b2J\u2028\u202e\u2066\x00"
    assert written.count(escaped) == 3
    assert not {"\x9b", "\u202e", "\x7f", "\r"} & set(written)
    assert "\x1b[31m" not in written.replace("\x1b[31m\x1b[1m", "")


def test_text_shows_a_long_list_below_the_line_an_item_a_line() -> None:
    stream = io.StringIO()
    set_up("node", log_format="text", stream=stream)
    words = ("Traceback (most recent call last):", '  File "model.py", line 3, in set_up', "KeyError: 'w\x1b[2J'")
    get_logger().warning("runner died", last_words=words, seeds=("gpu-1", "gpu-2"))
    line, *block = stream.getvalue().splitlines()
    assert "runner died" in line
    assert "('gpu-1', 'gpu-2')" in line
    assert block == [
        "    last_words:",
        "      Traceback (most recent call last):",
        '        File "model.py", line 3, in set_up',
        r"      KeyError: 'w\x1b[2J'",
    ]


def test_no_line_of_a_traceback_looks_like_a_line_of_its_own() -> None:
    stream = to_terminal()
    set_up("node", log_format="text", stream=stream)
    try:
        raise ValueError("x\n2026-01-01 [error] forged\x1b[2J")
    except ValueError:
        get_logger().exception("failed")
    _, *traceback = stream.getvalue().splitlines()
    assert all(line.startswith("    ") for line in traceback)
    assert r"forged\x1b[2J" in traceback[-1]


@pytest.mark.parametrize("value", ["\ud800", {("a", 1): 2}, b"\xff", object(), float("nan"), 2**200])
def test_any_value_can_be_logged(value: object) -> None:
    for stream in (to_json(), to_terminal()):
        set_up("node", stream=stream)
        get_logger().info("event", value=value, other=1)
        assert stream.getvalue().count("\n") == 1
        if not stream.isatty():
            assert one(stream)["other"] == 1


def test_a_stream_that_takes_nothing_stops_nobody() -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    closed = io.StringIO()
    closed.close()
    for stream in (closed, Full()):
        set_up("node", log_format="json", stream=stream)
        get_logger().error("lost")
        logging.getLogger("lib").error("lost")


def test_rich_is_not_loaded_and_can_be_later() -> None:
    code = (
        "import sys, zmesh.telemetry.log; assert 'rich' not in sys.modules; "
        "import rich.console; assert rich.console.Console"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3], timeout=30)
