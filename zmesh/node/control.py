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
from zmesh.wire.field import clip

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
        """The reply and its JSON body; a question that makes no sense is answered with what would.

        Raises nothing: who asks waits for an answer, also for one that says that something broke.
        """
        if len(body) > ARGUMENTS_BYTES_MAX:
            return ControlReply(request.serial, ok=False, detail="the arguments are too long"), b""
        verb = self._verbs.get(request.verb)
        if verb is None:
            known = ", ".join(sorted(self._verbs))
            detail = clip(f"unknown verb {request.verb!r}; known: {known}")
            return ControlReply(request.serial, ok=False, detail=detail), b""
        try:
            answer = msgspec.json.encode(verb())
        except Exception:
            log.exception("%s could not be answered", request.verb)
            return ControlReply(request.serial, ok=False, detail="it failed; the node's log says why"), b""
        return ControlReply(request.serial, ok=True), answer
