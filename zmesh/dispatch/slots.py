"""Runners' connections and their slots: who holds what, and who takes the next.

A slot is taken when a request is given, and comes back in two ways only: the runner answers that request, or the
connection is gone. READY and CANCEL give no slot back, for neither shows that service code has let go of it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator

from msgspec import Struct

from zmesh.dispatch.execution import Execution
from zmesh.wire.request import Id, Ready

__all__ = ["Pool", "Runner", "Runners"]

CONTENT_TYPES_MAX = 16
"""Content types that one service may advertise."""


class Runner(Struct, eq=False):
    """One slot-holding connection; a process has one for each thread, or one for all its tasks."""

    route: Hashable
    service: str
    pool: Pool
    number: int
    """64 random bits, the connection's own across reconnects."""
    pid: int
    slots: int
    heard_at: float
    in_hand: dict[Id, Execution]
    """In the order given, which is the order sent."""
    content_types: tuple[str, ...] = ()
    stopping: bool = False
    probed_at: float = float("-inf")
    """When a silent runner with work was last sent something, to see whether its connection still stands."""


class Pool:
    """The runners of one service."""

    def __init__(self) -> None:
        self._ready: dict[Hashable, Runner] = {}
        self.free: OrderedDict[Hashable, Runner] = OrderedDict()
        """Those with a free slot, the least recently used first; to be read only."""
        self._held: dict[Hashable, Runner] = {}

    @property
    def ready(self) -> int:
        """Runners that take work."""
        return len(self._ready)

    @property
    def slots(self) -> int:
        """Slots of the runners that take work, taken or free."""
        return sum(runner.slots for runner in self._ready.values())

    @property
    def running(self) -> int:
        """Slots taken, also on runners that are stopping."""
        return sum(len(runner.in_hand) for runner in self._held.values())

    @property
    def content_types(self) -> tuple[str, ...]:
        """What the service takes; empty: anything."""
        if any(not runner.content_types for runner in self._ready.values()):
            return ()
        return tuple(sorted({name for runner in self._ready.values() for name in runner.content_types}))[
            :CONTENT_TYPES_MAX
        ]

    def add(self, runner: Runner) -> None:
        """A new connection, all slots free; it is the first to be used."""
        self._held[runner.route] = self._ready[runner.route] = self.free[runner.route] = runner
        self.free.move_to_end(runner.route, last=False)

    def stop(self, runner: Runner) -> None:
        """Give it nothing new; what it holds it keeps."""
        runner.stopping = True
        self._ready.pop(runner.route, None)
        self.free.pop(runner.route, None)

    def remove(self, runner: Runner) -> None:
        """Its connection is gone."""
        self.stop(runner)
        del self._held[runner.route]

    def take(self, execution: Execution) -> Runner:
        """Give a slot of the least recently used free runner to ``execution``; there is one."""
        route, runner = next(iter(self.free.items()))
        runner.in_hand[execution.id] = execution
        if len(runner.in_hand) >= runner.slots:
            del self.free[route]
        else:
            self.free.move_to_end(route)
        return runner

    def give_back(self, runner: Runner, request_id: Id) -> Execution | None:
        """The runner has answered ``request_id``: its slot is free. None, and no change, when it does not hold it."""
        execution = runner.in_hand.pop(request_id, None)
        if execution is not None and not runner.stopping:
            self.free.setdefault(runner.route, runner)
        return execution


class Runners:
    """All runners' connections of the node."""

    def __init__(self) -> None:
        self._by_route: dict[Hashable, Runner] = {}
        self._by_number: dict[int, Runner] = {}
        self.find = self._by_route.get
        """``find(route)``: the runner on this connection, or None."""
        self.find_number = self._by_number.get
        """``find_number(number)``: the runner of this number on whatever connection, or None."""

    def __len__(self) -> int:
        return len(self._by_route)

    def __iter__(self) -> Iterator[Runner]:
        return iter(tuple(self._by_route.values()))

    def attach(self, ready: Ready, route: Hashable, pool: Pool, now: float) -> Runner:
        """A new connection with all its slots free."""
        runner = Runner(
            route, ready.service, pool, ready.runner, ready.pid, ready.slots, now, {}, tuple(ready.content_types)
        )
        self._by_route[route] = self._by_number[ready.runner] = runner
        pool.add(runner)
        return runner

    def remove(self, runner: Runner) -> None:
        """The connection is gone; what the runner held is the caller's to end."""
        del self._by_route[runner.route]
        del self._by_number[runner.number]
        runner.pool.remove(runner)
