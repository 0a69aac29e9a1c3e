"""Where membership's messages go. Names sockets and addresses; knows nothing of how either is opened or kept."""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple, TypeAlias

from zmesh.wire import Header, Topic

__all__ = ["Answer", "Dial", "Lobby", "Outgoing", "Publish", "To"]


class Dial(NamedTuple):
    """This node's own DEALER to the request ROUTER at ``address`` (``IP:PORT``), opened if there is none."""

    address: str


class Lobby(NamedTuple):
    """This node's own DEALER to the lobby ROUTER at ``address`` (``IP:PORT``), opened if there is none."""

    address: str


class Answer(NamedTuple):
    """The connection a message came from: ``route`` as it was given to ``receive``."""

    route: Hashable


class Publish(NamedTuple):
    """This node's gossip XPUB."""

    topic: Topic


To: TypeAlias = Dial | Lobby | Answer | Publish


class Outgoing(NamedTuple):
    """One message for the shell to encode and send. None of membership's kinds has a body."""

    to: To
    header: Header
    body: bytes = b""
