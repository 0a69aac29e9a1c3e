"""The connections that asked for work: what each waits for, who must hear BEAT, whose work is orphaned.

Decides nothing about the work itself: it says which executions nobody can hear of any more; the dispatcher ends them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator

from msgspec import Struct

from zmesh.config.limits import DispatchLimits
from zmesh.dispatch.execution import Execution
from zmesh.wire.request import Beat, Id

__all__ = ["AskerRoute", "Askers"]

BEAT_IDS_MAX = 8_192
"""Ids in one BEAT; more go in another."""


class AskerRoute(Struct, eq=False):
    """One connection of an asker and the executions whose answers go there."""

    route: Hashable
    heard_at: float
    unfinished: dict[Id, Execution]
    orphaned_until: float | None = None
    """Set while the connection is gone but its asker may come back on another one."""

    def attach(self, execution: Execution) -> None:
        """From now on the execution's answer goes here, and nowhere else."""
        if execution.asker is not None:
            execution.asker.detach(execution)
        execution.asker = self
        self.unfinished[execution.id] = execution

    def detach(self, execution: Execution) -> None:
        """Nothing more of this execution is said here."""
        del self.unfinished[execution.id]
        execution.asker = None


class Askers:
    """Connections heard from, at most ``asker_routes_max``."""

    def __init__(self, node_id: str, instance: int, limits: DispatchLimits) -> None:
        self._node_id = node_id
        self._instance = instance
        self._limits = limits
        self._by_route: dict[Hashable, AskerRoute] = {}
        # By the end of their grace.
        self._orphaned: OrderedDict[Hashable, AskerRoute] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_route)

    @property
    def routes(self) -> tuple[Hashable, ...]:
        """The connections that may still send something."""
        return tuple(asker.route for asker in self._by_route.values() if asker.orphaned_until is None)

    def heard(self, route: Hashable, now: float) -> AskerRoute | None:
        """The asker's connection, made known if it is new; None when there is no room for another."""
        asker = self._by_route.get(route)
        if asker is None:
            if len(self._by_route) >= self._limits.asker_routes_max:
                return None
            asker = self._by_route[route] = AskerRoute(route, now, {})
        asker.heard_at = now
        if asker.orphaned_until is not None:
            asker.orphaned_until = None
            del self._orphaned[route]
        return asker

    def gone(self, route: Hashable, may_return: bool, now: float) -> tuple[Execution, ...]:
        """The connection cannot be reached: the executions that nobody will hear of, to be cancelled now.

        With ``may_return`` there are none yet: they have ``asker_grace_s`` to be attached to another connection.
        """
        asker = self._by_route.get(route)
        if asker is None:
            return ()
        if not may_return or not asker.unfinished:
            return self._remove(asker)
        if asker.orphaned_until is None:
            asker.orphaned_until = now + self._limits.asker_grace_s
            self._orphaned[route] = asker
        return ()

    def given_up(self, now: float) -> list[Execution]:
        """Executions whose asker did not come back within its grace, to be cancelled now."""
        executions: list[Execution] = []
        while (until := self.next_grace_end()) is not None and until <= now:
            executions += self._remove(next(iter(self._orphaned.values())))
        return executions

    def next_grace_end(self) -> float | None:
        """When ``given_up`` has something next, unless its asker comes back."""
        if not self._orphaned:
            return None
        return next(iter(self._orphaned.values())).orphaned_until

    def _remove(self, asker: AskerRoute) -> tuple[Execution, ...]:
        del self._by_route[asker.route]
        self._orphaned.pop(asker.route, None)
        unheard = tuple(asker.unfinished.values())
        asker.unfinished.clear()
        for execution in unheard:
            execution.asker = None
        return unheard

    def beats(self) -> Iterator[tuple[Hashable, Beat]]:
        """BEATs for every connection that waits for something."""
        for asker in self._by_route.values():
            if asker.unfinished and asker.orphaned_until is None:
                ids = tuple(asker.unfinished)
                for start in range(0, len(ids), BEAT_IDS_MAX):
                    yield asker.route, Beat(self._node_id, self._instance, ids[start : start + BEAT_IDS_MAX])

    def forget_idle(self, now: float) -> None:
        """Put connections without work out of mind that were silent for long."""
        heard_before = now - self._limits.asker_route_idle_s
        idle = [
            route for route, asker in self._by_route.items() if not asker.unfinished and asker.heard_at <= heard_before
        ]
        for route in idle:
            del self._by_route[route]
