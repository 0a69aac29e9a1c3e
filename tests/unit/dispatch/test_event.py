"""What is handed to the shell can be compared, and not changed."""

import pytest

from zmesh.dispatch.event import Counters, Outgoing, RequestEnded
from zmesh.wire.request import GoAway, Outcome


def test_a_message_has_no_body_unless_it_is_given_one():
    assert Outgoing("a1", GoAway("box", 7)).body == b""


def test_events_are_values():
    event = RequestEnded((9, 1), "ocr", Outcome.OK)
    assert event == RequestEnded((9, 1), "ocr", Outcome.OK, 0, 0, "")
    with pytest.raises(AttributeError):
        event.service = "llm"


def test_counters_start_at_nothing():
    assert Counters() == Counters(0, 0, 0, 0, 0)
