"""Deadlines of all requests under way on one coarse wheel: no timer per request, no search for the next one.

A deadline is kept in the slot of the tick at or after it, so it fires at most one tick late and never early. A slot
that has become empty stays until its tick: the heap holds ticks, not requests.
"""

from __future__ import annotations

from heapq import heappop, heappush
from math import ceil

__all__ = ["TICK_S", "Deadlines"]

TICK_S = 0.05
"""Outcomes are promised by the deadline + 250 ms; a fifth of that is spent here."""

_TICKS_PER_S = 1.0 / TICK_S


class Deadlines:
    """Serials by the tick at which their time is up."""

    __slots__ = ("_slots", "_ticks")

    def __init__(self) -> None:
        self._slots: dict[int, dict[int, None]] = {}
        self._ticks: list[int] = []

    def add(self, serial: int, deadline: float) -> int:
        """Remember ``serial`` until ``deadline``, seconds; the answer is what ``remove`` needs."""
        tick = ceil(deadline * _TICKS_PER_S)
        slot = self._slots.get(tick)
        if slot is None:
            self._slots[tick] = slot = {}
            heappush(self._ticks, tick)
        slot[serial] = None
        return tick

    def remove(self, serial: int, tick: int) -> None:
        """It has ended before its time; or its time is up and it was taken already."""
        slot = self._slots.get(tick)
        if slot is not None:
            slot.pop(serial, None)

    def next(self) -> float | None:
        """When the first slot is due, seconds."""
        return self._ticks[0] / _TICKS_PER_S if self._ticks else None

    def due(self, now: float) -> list[int]:
        """Take out the serials whose time is up, earliest tick first."""
        serials: list[int] = []
        while self._ticks and self._ticks[0] / _TICKS_PER_S <= now:
            serials.extend(self._slots.pop(heappop(self._ticks)))
        return serials
