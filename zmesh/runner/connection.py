"""What a runner says of itself on its connection: READY again and again, STOPPED at last. No socket, no clock."""

from __future__ import annotations

from zmesh.runner.call import Service
from zmesh.wire.request import Attached, Ready, Stopped

__all__ = ["Connection"]


class Connection:
    """One slot-holding connection and the node it believes it is attached to.

    A node that has restarted does not know the number, says ATTACHED, and is the node from then on.
    """

    def __init__(self, service: Service, number: int, slots: int, pid: int) -> None:
        self._service = service
        self._number = number
        self._slots = slots
        self._pid = pid
        self._node_instance = 0

    def attached(self, attached: Attached) -> bool:
        """Take note of the node; whether it is another one than before."""
        is_new = attached.node_instance != self._node_instance
        self._node_instance = attached.node_instance
        return is_new

    def ready(self) -> Ready:
        """To be sent when the connection is made, and again and again; with requests in hand it need not be."""
        return Ready(
            self._service.name, self._number, self._slots, self._pid, self._node_instance, self._service.content_types
        )

    def stopped(self, reason: str) -> Stopped:
        """To be sent last, when nothing is in hand."""
        return Stopped(self._number, reason)
