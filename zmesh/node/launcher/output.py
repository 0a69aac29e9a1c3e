"""What a runner prints: cut into lines, each bounded, so many a second; the last ones kept for when it dies.

A line may begin with its priority, such as ``<3>`` for an error, as systemd reads it too (sd-daemon(3)).

Pure: takes bytes and the time, gives text. A runner that prints without end costs its own lines, not the node.
"""

from __future__ import annotations

import re
from collections import deque

from zmesh.config.box import LauncherLimits

__all__ = ["Output", "split_priority"]

CUT = " ... (cut)"

_INFORMS = 6
_PRIORITY = re.compile(r"<([0-7])>")


def split_priority(line: str) -> tuple[int, str]:
    """The priority of a line, 0 (emergency) to 7 (debug), and its text; a line without one informs (6)."""
    marked = _PRIORITY.match(line)
    return (int(marked[1]), line[marked.end() :]) if marked else (_INFORMS, line)


class Output:
    """The output of one process."""

    def __init__(self, limits: LauncherLimits) -> None:
        self._limits = limits
        self._partial = bytearray()
        self._overlong = False
        self._last: deque[str] = deque(maxlen=limits.last_words_lines)
        self._second = 0.0
        self._lines_this_second = 0
        self._dropped = 0

    @property
    def last_words(self) -> tuple[str, ...]:
        """The text of the last lines printed, those that were not logged among them; an unfinished one counts."""
        unfinished = self._text(self._partial) if self._partial else ""
        lines = [*self._last, unfinished] if unfinished else [*self._last]
        return tuple(split_priority(line)[1] for line in lines[-self._limits.last_words_lines :])

    def feed(self, data: bytes, now: float) -> list[str]:
        """Take what was printed; the result is the lines to log."""
        lines = []
        *finished, rest = data.split(b"\n")
        for part in finished:
            self._append(part)
            lines.append(self._text(self._partial))
            self._partial.clear()
            self._overlong = False
        self._append(rest)
        return self._admit([line for line in lines if line], now)

    def finish(self, now: float) -> list[str]:
        """The process has closed its output: the line it did not end, if any."""
        return self.feed(b"\n", now) if self._partial else []

    def _append(self, part: bytes) -> None:
        room = self._limits.line_bytes_max - len(self._partial)
        self._partial += part[:room]
        self._overlong = self._overlong or len(part) > room

    def _text(self, line: bytes | bytearray) -> str:
        return line.decode(errors="backslashreplace").rstrip() + (CUT if self._overlong else "")

    def _admit(self, lines: list[str], now: float) -> list[str]:
        """As many lines as this second has room for; how many were dropped is said in the next."""
        self._last.extend(lines)
        admitted = []
        if now - self._second >= 1.0:
            if self._dropped:
                admitted.append(f"({self._dropped} more lines in that second are not shown)")
            self._second, self._lines_this_second, self._dropped = now, 0, 0
        room = max(self._limits.lines_per_second_max - self._lines_this_second, 0)
        admitted += lines[:room]
        self._lines_this_second += len(lines[:room])
        self._dropped += len(lines[room:])
        return admitted
