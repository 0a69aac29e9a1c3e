"""What happened, in order: a hash of everything for determinism, and the last events for whoever reads a failure."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from tests.simulation.clock import Clock
from zmesh.wire import Body

__all__ = ["Trace", "Violation"]

KEPT_MAX = 20_000
"""Events looked through for those that a failure is about."""

LINE_MAX = 200


class Violation(AssertionError):
    """An invariant does not hold. ``subjects`` are the ids that the events worth reading mention."""

    def __init__(self, invariant: str, detail: str, *subjects: str) -> None:
        super().__init__(f"{invariant}: {detail}")
        self.invariant = invariant
        self.detail = detail
        self.subjects = subjects


class _Event(NamedTuple):
    at: float
    parts: tuple[object, ...]

    def __str__(self) -> str:
        return f"{self.at:9.4f}  " + " ".join(map(str, self.parts))


class Trace:
    """The run's story. Events are formatted only when somebody reads them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._events: deque[_Event] = deque(maxlen=KEPT_MAX)
        self.hash = 0
        """Of every frame that arrived, where, and when, and of every event told: two runs of a seed have the same."""

    def tell(self, *parts: object) -> None:
        """Something happened: who, what, and what about it."""
        event = _Event(self._clock.now, parts)
        self._events.append(event)
        self.hash = zlib.crc32(str(event).encode(), self.hash)

    def arrived(self, place: str, header: object, frames: Iterable[Body]) -> None:
        """A message arrived at ``place``."""
        self._events.append(_Event(self._clock.now, (place, "<-", header)))
        for frame in frames:
            self.hash = zlib.crc32(frame, self.hash)
        self.hash = zlib.crc32(f"{self._clock.now!r} {place}".encode(), self.hash)

    def last(self, count: int, subjects: tuple[str, ...]) -> list[str]:
        """The newest ``count`` events that mention one of the ``subjects``; without subjects, of all."""
        lines: list[str] = []
        for event in reversed(self._events):
            line = str(event)
            if not subjects or any(subject in line for subject in subjects):
                lines.append(line[:LINE_MAX])
                if len(lines) == count:
                    break
        return lines[::-1]
