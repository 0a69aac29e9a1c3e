"""Bugs planted into the real machines, to see that the invariants find them. None has a check of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from zmesh.membership.members import Members
from zmesh.membership.table import Table
from zmesh.routing.fingers import Fingers
from zmesh.routing.flight import Flight, Sign
from zmesh.routing.router import Router, VerdictKind

__all__ = ["BUGS", "Bug", "planted"]


@dataclass(frozen=True)
class Bug:
    """One way in which ``method`` of a machine could be wrong."""

    what: str
    machine: type
    method: str
    make: Callable[[Callable[..., Any]], Callable[..., Any]]
    """Of the right method the wrong one."""
    seeds: tuple[int, ...]
    """Some that find it. A change of the machines makes a seed another story, so one alone would not keep for long."""
    invariants: tuple[str, ...]
    """What they may find broken."""


def _never_raised(_right: Callable[..., Any]) -> Callable[..., Any]:
    def raise_incarnation(_self: Members, _above: int, **_options: Any) -> None:
        """Says nothing, whatever is said of this node."""

    return raise_incarnation


def _retried_after_hand_over(right: Callable[..., Any]) -> Callable[..., Any]:
    def end_unanswered(self: Router, flight: Flight, sign: Sign, kind: VerdictKind, now: float) -> None:
        candidate = flight.candidate
        if sign is Sign.TARGET_GONE and candidate is not None:
            self._take_back(flight, candidate, Sign.NOT_STARTED, "it cannot have been started, can it", now)
            self._try_another(flight, now)
        else:
            right(self, flight, sign, kind, now)

    return end_unanswered


def _departure_forgotten(right: Callable[..., Any]) -> Callable[..., Any]:
    def depart(self: Members, node_id: str, instance: int, incarnation: int, left_at: float) -> None:
        right(self, node_id, instance, incarnation, left_at - self._limits.memory_of_dead_s)

    return depart


def _bucket_missed(right: Callable[..., Any]) -> Callable[..., Any]:
    def digest(self: Table, count: int) -> tuple[int, ...]:
        return (0, *right(self, count)[1:])

    return digest


def _finger_kept(_right: Callable[..., Any]) -> Callable[..., Any]:
    def drop_node(_self: Fingers, _node_id: str) -> None:
        """Trusts the finger for the rest of its time."""

    return drop_node


BUGS = {
    "incarnation": Bug(
        "an incarnation is not raised",
        Members,
        "raise_incarnation",
        _never_raised,
        (29, 41, 13),
        ("who is alive is alive everywhere", "no healthy member is called dead", "tables are equal"),
    ),
    "retry": Bug(
        "a request is retried after hand-over",
        Router,
        "_end_unanswered",
        _retried_after_hand_over,
        (39, 57, 27),
        ("at most once", "executed"),
    ),
    "departure": Bug(
        "a departure is forgotten",
        Members,
        "depart",
        _departure_forgotten,
        (48, 12, 15),
        ("none comes back from the dead",),
    ),
    "digest": Bug(
        "a digest misses a bucket",
        Table,
        "digest",
        _bucket_missed,
        (38, 17),
        ("tables are equal", "who is alive is alive everywhere"),
    ),
    "finger": Bug(
        "a finger is kept after a death",
        Fingers,
        "drop_node",
        _finger_kept,
        (39, 29, 35),
        ("nothing is sent to the dead",),
    ),
}


@contextmanager
def planted(name: str) -> Iterator[None]:
    """The machines with this bug for a while; without a name as they are."""
    if not name:
        yield
        return
    bug = BUGS[name]
    right = getattr(bug.machine, bug.method)
    setattr(bug.machine, bug.method, bug.make(right))
    try:
        yield
    finally:
        setattr(bug.machine, bug.method, right)
