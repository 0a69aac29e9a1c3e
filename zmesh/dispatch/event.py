"""What the dispatcher hands to its shell: messages to send, events to tell, and what it counts.

Knows nothing of sockets: a route is whatever hashable the shell gave in ``receive``.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple, TypeAlias

from msgspec import Struct

from zmesh.wire import Body, Header
from zmesh.wire.request import Id, Outcome, Reason

__all__ = [
    "Counters",
    "Event",
    "Outgoing",
    "RequestEnded",
    "RunnerAttached",
    "RunnerGone",
    "ServiceDown",
    "ServiceUp",
]


class Outgoing(NamedTuple):
    """One message for the connection ``route``; messages for one route must be sent in the order given."""

    route: Hashable
    header: Header
    body: Body = b""


class ServiceUp(Struct, frozen=True):
    """A service has a ready runner again: it may be advertised."""

    service: str


class ServiceDown(Struct, frozen=True):
    """A service's last ready runner went or is stopping: it must not be advertised."""

    service: str


class RunnerAttached(Struct, frozen=True):
    """A runner's connection offers its slots. One process may have several connections."""

    service: str
    pid: int
    runner: int
    slots: int


class RunnerGone(Struct, frozen=True):
    """A runner's connection is out of use; ``lost`` requests it held ended as LOST."""

    service: str
    pid: int
    runner: int
    reason: str
    """stopped, exited, unroutable, silent or replaced."""
    lost: int = 0


class RequestEnded(Struct, frozen=True):
    """A request has its end on this node, whether or not anybody is left to hear it."""

    id: Id
    service: str
    outcome: Outcome | Reason
    """A Reason when it was certainly not given to service code."""
    queue_us: int = 0
    run_us: int = 0
    detail: str = ""


Event: TypeAlias = ServiceUp | ServiceDown | RunnerAttached | RunnerGone | RequestEnded


class Counters(Struct):
    """Totals since the dispatcher was made."""

    attached: int = 0
    """Copies of a known id, answered from the one execution."""
    forgotten: int = 0
    """Ids refused because they may have run here before."""
    stray_replies: int = 0
    """Answers of runners to requests they do not hold."""
    runners_refused: int = 0
    """READY of a service that is not offered here, or above the bound."""
    unexpected: int = 0
    """Messages of a kind the dispatcher has no use for."""
