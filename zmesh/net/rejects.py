"""Illegal messages: all are counted, each sender is logged once, and memory stays bounded."""

from __future__ import annotations

import logging

import zmq

__all__ = ["Rejects"]

log = logging.getLogger(__name__)


class Rejects:
    """Counter of one socket. A sender is its address without the port: a reconnect is no new sender."""

    def __init__(self, name: str, senders_logged_max: int) -> None:
        self.count = 0
        self._name = name
        self._senders_logged_max = senders_logged_max
        self._logged: set[str] = set()

    def add(self, frame: zmq.Frame, reason: object) -> None:
        """One more illegal message, of which ``frame`` is a part."""
        self.count += 1
        if len(self._logged) > self._senders_logged_max:
            return
        sender = _sender(frame)
        if sender in self._logged:
            return
        self._logged.add(sender)
        if len(self._logged) > self._senders_logged_max:
            log.warning("%s: further senders of illegal messages are counted, not logged", self._name)
        else:
            log.warning(
                "%s: illegal message from %s, further ones from there are counted: %s", self._name, sender, reason
            )


def _sender(frame: zmq.Frame) -> str:
    try:
        address = frame.get("Peer-Address")
    except zmq.ZMQError:
        address = ""  # in-process peers have none
    return str(address) or "a local process"
