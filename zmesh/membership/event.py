"""What a Peer tells its shell, beside messages. What the shell does with each is said in ``peer``."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from zmesh.wire.event import MemberView

__all__ = [
    "Conflict",
    "Event",
    "IncarnationRaised",
    "MemberChanged",
    "MemberForgotten",
    "Refused",
    "Rejected",
    "Subscribe",
    "Synced",
    "Unsubscribe",
]


class MemberChanged(Struct, frozen=True):
    """A member, this node included, is new, or its state, instance, incarnation or records changed."""

    view: MemberView


class MemberForgotten(Struct, frozen=True):
    """A member dead or departed for ``memory_of_dead_s`` is no longer remembered."""

    node_id: str


class Subscribe(Struct, frozen=True):
    """Connect the gossip SUB to the XPUB at ``address``."""

    address: str


class Unsubscribe(Struct, frozen=True):
    """Disconnect the gossip SUB from ``address``."""

    address: str


class IncarnationRaised(Struct, frozen=True):
    """This node now speaks at ``incarnation``; a later start must know it and go above."""

    incarnation: int


class Synced(Struct, frozen=True):
    """The table is as good as somebody else's; or there is nobody else (``alone``). May come twice: alone, then not."""

    alone: bool


class Conflict(Struct, frozen=True):
    """Two living instances claim one node id."""

    node_id: str
    detail: str


class Refused(Struct, frozen=True):
    """This node is not let in; it keeps asking, slowly."""

    detail: str


class Rejected(Struct, frozen=True):
    """Something ``node_id`` sent was not believed: a signature that does not hold, a record that is none."""

    node_id: str
    reason: str
    """Of the first in its message."""
    count: int = 1
    """In that message."""


Event: TypeAlias = (
    MemberChanged
    | MemberForgotten
    | Subscribe
    | Unsubscribe
    | IncarnationRaised
    | Synced
    | Conflict
    | Refused
    | Rejected
)
