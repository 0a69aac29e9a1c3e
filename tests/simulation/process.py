"""A simulated process: runs what is due for it, unless it has crashed, is frozen, or is slow."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Protocol

from tests.simulation.clock import Action

if TYPE_CHECKING:
    from tests.simulation.world import World

__all__ = ["Alarm", "Process"]


class _Socket(Protocol):
    def abandon(self) -> None:
        """Its process is gone, without a word."""

    def freeze(self) -> None:
        """Its process is frozen."""


class Process:
    """One process on ``host``. ``perform`` is its event loop: everything that happens in it goes through there."""

    def __init__(self, world: World, host: str, name: str) -> None:
        self.world = world
        self.clock = world.clock
        self.network = world.network
        self.host = host
        self.name = name
        """Unique in the world, restarts included."""
        self.pid = world.next_pid()
        self.rng = Random(f"{world.seed}/{name}/{self.pid}")
        self.alive = True
        self.frozen = False
        self.slow_s = 0.0
        """What is due is done up to so much late."""
        self.excused_until = 0.0
        """It was frozen or slow until then: whatever it owed earlier may come so late."""
        self._sockets: list[_Socket] = []
        self._backlog: list[Action] = []
        self._overdue: list[Action] = []
        self._busy_until = 0.0

    def own(self, socket: _Socket) -> None:
        """The socket goes when the process goes."""
        self._sockets.append(socket)

    def disown(self, socket: _Socket) -> None:
        """The socket was closed."""
        self._sockets.remove(socket)

    def perform(self, action: Action) -> None:
        """Something came in: a message, a connection's change."""
        self._perform(action, self._backlog)

    def wake(self, action: Action) -> None:
        """A timer is due."""
        self._perform(action, self._overdue)

    def _perform(self, action: Action, when_frozen: list[Action]) -> None:
        if not self.alive:
            return
        if self.frozen:
            when_frozen.append(action)
        elif self.slow_s or self._busy_until > self.clock.now:
            start = max(self._busy_until, self.clock.now)
            self._busy_until = self.excused_until = start + self.world.rng.random() * self.slow_s
            self.clock.call_at(self._busy_until, partial(self._late, action, when_frozen))
        else:
            action()

    def _late(self, action: Action, when_frozen: list[Action]) -> None:
        if self.frozen:
            when_frozen.append(action)
        elif self.alive:
            action()

    # What befalls it

    def kill(self) -> None:
        """SIGKILL, or its end: it does nothing more; the others notice in their own time."""
        if not self.alive:
            return
        self.alive = False
        self._backlog.clear()
        self._overdue.clear()
        for socket in tuple(self._sockets):
            socket.abandon()

    def freeze(self) -> None:
        """SIGSTOP: nothing is done; what arrives is kept by the kernel."""
        self.frozen = True
        for socket in tuple(self._sockets):
            socket.freeze()

    def thaw(self) -> None:
        """SIGCONT: everything at once, timers or messages first as it happens to come."""
        if not self.frozen:
            return
        self.frozen = False
        self.excused_until = self.clock.now
        first, second = self._overdue, self._backlog
        if self.world.rng.random() < 0.5:
            first, second = second, first
        waiting = first + second
        self._overdue, self._backlog = [], []
        for action in waiting:
            self.perform(action)


class Alarm:
    """Wakes a process at the time last set, like ``zmesh.net.alarm``."""

    def __init__(self, process: Process, ring: Callable[[], None]) -> None:
        self._process = process
        self._ring = ring
        self._due: float | None = None
        self._called_at: float | None = None

    def set(self, due: float | None) -> None:
        """Ring at ``due``, or never."""
        self._due = due
        if due is not None and (self._called_at is None or due < self._called_at):
            self._called_at = due
            self._process.clock.call_at(due, partial(self._reach, due))

    def _reach(self, at: float) -> None:
        if at == self._called_at and self._process.alive:
            self._called_at = None
            if self._due is not None and self._due > at:
                self.set(self._due)
            elif self._due is not None:
                self._process.wake(self._ring_now)

    def _ring_now(self) -> None:
        if self._due is not None and self._due <= self._process.clock.now:
            self._due = None
            self._ring()
        elif self._due is not None:
            self.set(self._due)
