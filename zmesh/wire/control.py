"""What the CLI and a gateway ask of their own node: PROTOCOL section 8."""

from __future__ import annotations

from zmesh.wire.field import U64, Short, Text
from zmesh.wire.frame import LIMITS, Header, message
from zmesh.wire.kind import Kind

__all__ = ["ControlReply", "ControlRequest"]


@message(Kind.CONTROL_REQUEST, body_max=LIMITS.inline_body_bytes_max)
class ControlRequest(Header, frozen=True):
    """The CLI (or a gateway, for figures) asks its node; the body is a JSON object of arguments."""

    serial: U64
    verb: Short


@message(Kind.CONTROL_REPLY, body_max=LIMITS.body_bytes_max)
class ControlReply(Header, frozen=True):
    """The node's answer; the body is JSON."""

    serial: U64
    ok: bool
    detail: Text = ""
    """What was wrong with the question, when it was."""
