"""Logs: JSON lines for machines, coloured text for a terminal; the standard library's loggers go the same way.

Decides how a line looks, not what is worth one. What a value holds came from anywhere, so no value may end its line,
move a terminal's cursor or turn its reading direction: control characters are written as escapes.

Get loggers from here (``get_logger``), not from structlog: structlog imports rich when it finds it, for tracebacks that
we do not use, which costs each process 70 ms and 4 MiB.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Literal, TextIO, cast

import msgspec

_rich = sys.modules.get("rich")
sys.modules["rich"] = None  # type: ignore[assignment]  # what makes an import fail; see above
try:
    import structlog
finally:
    if _rich is None:
        del sys.modules["rich"]
    else:
        sys.modules["rich"] = _rich

__all__ = ["Listener", "Logger", "escaped", "get_logger", "listen", "set_up"]

Logger = structlog.typing.FilteringBoundLogger
Format = Literal["auto", "json", "text"]
Level = Literal["debug", "info", "warning", "error"]
EventDict = MutableMapping[str, Any]
Listener = Callable[[str, Mapping[str, Any]], None]

# C0, DEL and C1 steer terminals; U+2028 and U+2029 end lines; the others turn the reading direction.
_UNSAFE = (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_TEXT_ESCAPES: Mapping[int, str] = {
    code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" for code in _UNSAFE
} | {
    0x09: "\\t",
    0x0A: "\\n",
    0x0D: "\\r",
}
# msgspec has escaped C0 itself; the rest is legal JSON, and so is its escape.
_JSON_ESCAPES: Mapping[int, str] = {code: f"\\u{code:04x}" for code in _UNSAFE if code >= 0x20}

_TRACEBACKS = ("stack", "exception")

_LIST_LINE_MAX = 60
"""Characters of a list that stay in a line of text; a longer one is written below it, an item a line."""

_NOT_JSON = (UnicodeEncodeError, TypeError, RecursionError)  # a lone surrogate, a key that is no text, a loop


def get_logger(**bound: object) -> Logger:
    """A logger whose lines carry ``bound``; good to keep in a module, it takes up ``set_up`` whenever that comes."""
    return cast(Logger, structlog.get_logger(**bound))


def set_up(
    process: str,
    *,
    node_id: str = "",
    level: Level = "info",
    log_format: Format = "auto",
    stream: TextIO | None = None,
) -> None:
    """Send the lines of this process, each with its ``process`` and ``node_id``, to ``stream`` (standard error).

    ``auto`` is text where the stream is a terminal, else JSON. Replaces the handlers of the root logger, so that what
    libraries log through the standard library comes out the same. May be called again, as after a fork.
    """
    stream = stream or sys.stderr
    text = log_format == "text" or (log_format == "auto" and stream.isatty())
    bound = {"process": process} | ({"node_id": node_id} if node_id else {})
    threshold = logging.getLevelNamesMapping()[level.upper()]
    processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _Bind(bound),
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=not text, key="time"),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        _Listen(),
        *(_text_processors(stream) if text else _json_processors()),
    ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=_Writer(stream),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=threshold, handlers=[_Bridge()], force=True)
    logging.captureWarnings(True)


def listen(listener: Listener | None) -> None:
    """Tell ``listener(level, line)`` of each line at warning or above, in the thread that logs it; None: nobody.

    ``line`` has the message as ``event`` and the values by name. One listener a process.
    """
    _Listen.listener = listener


class _Listen:
    """Tells the listener of a line before it is rendered; a listener that fails must not stop who logs."""

    listener: Listener | None = None

    def __call__(self, logger: object, method: str, event: EventDict) -> EventDict:
        listener = _Listen.listener
        if listener is not None and event["level"] in ("warning", "error", "critical"):
            try:
                listener(event["level"], dict(event))
            except Exception as error:
                event["listener_failed"] = repr(error)
        return event


class _Writer:
    """Writes finished lines, each at once. A full disk or a closed pipe loses lines; it must not stop who logs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, *_: object) -> _Writer:
        return self

    def msg(self, line: str) -> None:
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            return

    debug = info = warning = error = critical = msg


class _Bind:
    """Puts what is known of the process into each line, without ousting what the line says itself."""

    def __init__(self, bound: Mapping[str, str]) -> None:
        self._bound = dict(bound)

    def __call__(self, logger: object, method: str, event: EventDict) -> EventDict:
        for key, value in self._bound.items():
            event.setdefault(key, value)
        return event


class _Bridge(logging.Handler):
    """Hands a record of the standard library to structlog, at its level and with its logger's name."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except Exception:  # arguments that do not fit their text are the fault of who logs; what was said still counts
            message = f"{record.msg} {record.args!r}"
        level = min(max(record.levelno // 10 * 10, logging.DEBUG), logging.CRITICAL)
        extra = {"exc_info": record.exc_info} if record.exc_info else {}
        structlog.get_logger().log(level, message.rstrip("\n"), logger=record.name, **extra)


def _json_processors() -> list[structlog.typing.Processor]:
    return [_json_line]


def _text_processors(stream: TextIO) -> list[structlog.typing.Processor]:
    console = structlog.dev.ConsoleRenderer(
        colors=stream.isatty(), timestamp_key="time", exception_formatter=structlog.dev.plain_traceback
    )
    return [_escape, console]


def _json_line(logger: object, method: str, event: EventDict) -> str:
    ordered = {key: event.pop(key) for key in ("time", "level", "event") if key in event} | dict(event)
    try:
        line = msgspec.json.encode(ordered, enc_hook=repr)
    except _NOT_JSON:
        line = msgspec.json.encode({key: _encodable(value) for key, value in ordered.items()}, enc_hook=repr)
    return line.decode().translate(_JSON_ESCAPES)


def _encodable(value: object) -> object:
    try:
        msgspec.json.encode(value, enc_hook=repr)
    except _NOT_JSON:
        return ascii(value)
    return value


def _escape(logger: object, method: str, event: EventDict) -> EventDict:
    """Control characters of every value as escapes; what takes lines of its own is set in from where a line begins."""
    blocks = {key: value for key, value in event.items() if key in _TRACEBACKS or _is_long_list(value)}
    for key, value in event.items():
        if key in blocks or (not isinstance(value, str) and repr(value).isprintable()):
            continue  # left to the renderer, which quotes texts that are not one word
        event[key] = escaped(value if isinstance(value, str) else repr(value))
    for key, value in blocks.items():
        lines = str(value).split("\n") if key in _TRACEBACKS else [f"{key}:", *(f"  {item}" for item in value)]
        event[key] = "\n".join("    " + escaped(line) for line in lines)
        if key not in _TRACEBACKS:
            above = f"{event['stack']}\n" if "stack" in event else ""
            event["stack"] = above + event.pop(key)  # where the renderer puts what comes below the line
    return event


def escaped(text: str) -> str:
    """``text`` with what would steer a terminal, end a line or turn its direction written as escapes."""
    return text.encode(errors="backslashreplace").decode().translate(_TEXT_ESCAPES)


def _is_long_list(value: object) -> bool:
    """Such as the last words of a process: unreadable in one line."""
    return isinstance(value, list | tuple) and len(repr(value)) > _LIST_LINE_MAX
