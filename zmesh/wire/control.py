"""What the CLI and a gateway ask of their own node: PROTOCOL section 8."""

from __future__ import annotations

from zmesh.wire.frame import Header, message
from zmesh.wire.kind import Kind
from zmesh.wire.request import U64, Short, Text

__all__ = ["ControlReply", "ControlRequest"]


@message(Kind.CONTROL_REQUEST)
class ControlRequest(Header, frozen=True):
    """The CLI (or a gateway, for figures) asks its node; the body is a JSON object of arguments."""

    serial: U64
    verb: Short


@message(Kind.CONTROL_REPLY)
class ControlReply(Header, frozen=True):
    """The node's answer; the body is JSON."""

    serial: U64
    ok: bool
    detail: Text = ""
    """What was wrong with the question, when it was."""
