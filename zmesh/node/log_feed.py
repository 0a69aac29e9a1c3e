"""From this process's log to LOG events: lines at warning or above, at most so many in a second.

A line may be logged in any thread and in the midst of anything, publishing included, so it is handed to the loop and
told from there. What is over the bound is only counted.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

from zmesh.config.box import EventLimits
from zmesh.telemetry import log
from zmesh.wire.field import SHORT_MAX, clip

__all__ = ["LogFeed"]

_NOT_TOLD = frozenset({"event", "level", "time", "process", "node_id"})
"""What an event says elsewhere, or what is the same in all of one node's lines."""


class LogFeed:
    """Hears the log from ``open`` to ``close``; ``tell(level, message, fields, missed)`` is called in the loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        tell: Callable[[str, str, Mapping[str, str], int], None],
        limits: EventLimits,
    ) -> None:
        self._loop = loop
        self._tell = tell
        self._limits = limits
        self._second = 0
        self._told = 0
        self._missed = 0

    def open(self) -> None:
        """Begin to hear."""
        log.listen(self.hear)

    def close(self) -> None:
        """Hear nothing any more."""
        log.listen(None)

    def hear(self, level: str, line: Mapping[str, Any]) -> None:
        """A line was logged, in whichever thread."""
        second = int(self._loop.time())
        if second != self._second:
            self._second, self._told = second, 0
        if self._told >= self._limits.log_events_per_second_max:
            self._missed += 1
            return
        self._told += 1
        missed, self._missed = self._missed, 0
        with contextlib.suppress(RuntimeError):  # the loop has ended: so have its subscribers
            self._loop.call_soon_threadsafe(self._tell, level, str(line["event"]), self._fields(line), missed)

    def _fields(self, line: Mapping[str, Any]) -> dict[str, str]:
        values = ((key, value) for key, value in line.items() if key not in _NOT_TOLD)
        length = self._limits.log_field_chars_max
        return {
            clip(key, SHORT_MAX): clip(str(value), length) for key, value in islice(values, self._limits.log_fields_max)
        }
