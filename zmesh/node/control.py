"""What the command line and this box's gateways may ask of the node, and how the answers look: JSON objects.

Each verb is one function of the daemon's state; nothing here changes anything.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TypeAlias

import msgspec

from zmesh.wire import Body
from zmesh.wire.control import ControlReply, ControlRequest

__all__ = ["Control", "Verb"]

log = logging.getLogger(__name__)

Verb: TypeAlias = Callable[[], object]
"""Makes the answer to one question, something msgspec can write as JSON."""

ARGUMENTS_BYTES_MAX = 64 * 1024


class Control:
    """Answers questions by a table of verbs."""

    def __init__(self, verbs: Mapping[str, Verb]) -> None:
        self._verbs = dict(verbs)

    def answer(self, request: ControlRequest, body: Body) -> tuple[ControlReply, bytes]:
        """The reply and its JSON body; a question that makes no sense is answered with what would."""
        if len(body) > ARGUMENTS_BYTES_MAX:
            return ControlReply(request.serial, ok=False, detail="the arguments are too long"), b""
        verb = self._verbs.get(request.verb)
        if verb is None:
            known = ", ".join(sorted(self._verbs))
            return ControlReply(request.serial, ok=False, detail=f"unknown verb {request.verb!r}; known: {known}"), b""
        return ControlReply(request.serial, ok=True), msgspec.json.encode(verb())
