"""Questions are answered, whatever becomes of them: who asks waits."""

import json

import pytest

from zmesh.node.control import ARGUMENTS_BYTES_MAX, Control
from zmesh.wire import encode
from zmesh.wire.control import ControlRequest


def broken() -> object:
    raise RuntimeError("a machine failed")


CONTROL = Control({"status": lambda: {"state": "ready"}, "broken": broken, "unwritable": lambda: object()})


def test_a_known_verb() -> None:
    reply, body = CONTROL.answer(ControlRequest(serial=7, verb="status"), b"{}")
    assert (reply.serial, reply.ok, json.loads(body)) == (7, True, {"state": "ready"})


@pytest.mark.parametrize(
    ("verb", "arguments", "detail"),
    [
        ("stats", b"", "unknown verb 'stats'; known: broken, status, unwritable"),
        ("\0" * 255, b"", "unknown verb"),
        ("status", b" " * (ARGUMENTS_BYTES_MAX + 1), "too long"),
        ("broken", b"", "log says why"),
        ("unwritable", b"", "log says why"),
    ],
)
def test_what_cannot_be_answered_is_said(verb: str, arguments: bytes, detail: str) -> None:
    reply, body = CONTROL.answer(ControlRequest(serial=7, verb=verb), arguments)
    assert (reply.serial, reply.ok, body) == (7, False, b"")
    assert detail in reply.detail
    assert encode(reply)


def test_a_failure_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    CONTROL.answer(ControlRequest(serial=7, verb="broken"), b"")
    assert "a machine failed" in caplog.text
