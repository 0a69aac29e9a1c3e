"""Messages that wait for one peer's queue in libzmq: in order, bounded in number and bytes. Knows no socket."""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

from zmesh.config.limits import NetLimits
from zmesh.wire import Body, Header

__all__ = ["Outbox", "Outgoing"]


class Outgoing(NamedTuple):
    """An encoded message under way to libzmq."""

    header: Header
    """What to name when it is refused after all."""

    frames: list[Body]

    expires_at: float = math.inf
    """When it is refused if libzmq has not taken it, on the loop's clock; infinity: never."""

    @property
    def size(self) -> int:
        """Bytes of all frames."""
        return sum(map(len, self.frames))


class Outbox:
    """Queue of one peer."""

    def __init__(self, limits: NetLimits) -> None:
        self.messages: deque[Outgoing] = deque()
        self._bytes = 0
        self._limits = limits

    def __len__(self) -> int:
        return len(self.messages)

    @property
    def full(self) -> bool:
        """Whether a further message is to be refused. The largest message fits whenever this is false."""
        return len(self.messages) >= self._limits.waiting_messages_max or self._bytes >= self._limits.waiting_bytes_max

    def append(self, message: Outgoing) -> None:
        """Queue it, whatever the bounds: whether a message is taken was decided when it came."""
        self.messages.append(message)
        self._bytes += message.size

    def popleft(self) -> Outgoing:
        """The oldest message, which leaves."""
        message = self.messages.popleft()
        self._bytes -= message.size
        return message
