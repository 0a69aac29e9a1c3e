"""Control: a verb with JSON arguments, answered under its serial."""

import pytest

from zmesh.errors import RemoteProtocolError
from zmesh.wire import dialect
from zmesh.wire.control import ControlReply, ControlRequest
from zmesh.wire.frame import LIMITS, decode, encode


def test_a_large_answer_is_a_frame_of_its_own() -> None:
    body = b"[" + b"0," * LIMITS.inline_body_bytes_max + b"0]"
    frames = encode(ControlReply(7, ok=True), body)
    assert len(frames) == 2
    assert decode(frames, dialect.CONTROL_ANSWERS) == (ControlReply(7, ok=True, detail=""), body)


def test_a_question_is_small() -> None:
    frames = encode(ControlRequest(7, "members"), b"{}")
    assert decode(frames, dialect.CONTROL_QUESTIONS) == (ControlRequest(7, "members"), b"{}")
    with pytest.raises(RemoteProtocolError, match="second frame"):
        decode([encode(ControlRequest(7, "members"))[0], b"x" * 100_000], dialect.CONTROL_QUESTIONS)


def test_bounds() -> None:
    with pytest.raises(RemoteProtocolError, match="length <= 255"):
        decode(encode(ControlRequest(7, "v" * 256)), dialect.CONTROL_QUESTIONS)
    with pytest.raises(RemoteProtocolError, match="length <= 4096"):
        decode(encode(ControlReply(7, ok=False, detail="d" * 4097)), dialect.CONTROL_ANSWERS)
