"""The dispatcher as time passes: draining, timers, and bounds that hold in the long run."""

from random import Random

from tests.unit.dispatch.box import ASKER, INSTANCE, Box, answers, given
from zmesh.config.limits import DispatchLimits
from zmesh.dispatch.dispatcher import Dispatcher
from zmesh.dispatch.event import Outgoing
from zmesh.wire.request import GoAway, GoAwayAck, NotStarted, Outcome, Reason

# Draining


def test_draining_says_goaway_to_every_asker_and_ends_when_all_have_answered():
    box = Box()
    box.runner()
    box.ask(1, route="a1")
    box.reply(1)
    box.ask(2, route="a2")
    box.dispatcher.drain(box.now)
    goaway = GoAway("box", INSTANCE)
    assert box.take() == [Outgoing("a1", goaway), Outgoing("a2", goaway)]
    box.dispatcher.drain(box.now)
    assert box.take() == []
    box.receive(GoAwayAck(ASKER), "a1")
    box.reply(2)
    assert not box.dispatcher.drained
    box.receive(GoAwayAck(ASKER), "a2")
    assert box.dispatcher.drained


def test_what_comes_while_draining_is_not_started_and_its_asker_told_once():
    box = Box()
    box.runner()
    box.ask(1)
    box.dispatcher.drain(box.now)
    box.take()
    assert box.ask(2) == [Outgoing("a1", NotStarted((ASKER, 2), Reason.DRAINING, "box"))]
    assert [type(message.header) for message in box.ask(3, route="a2")] == [NotStarted, GoAway]
    assert [type(message.header) for message in box.ask(4, route="a2")] == [NotStarted]


def test_a_drain_finishes_what_was_accepted():
    box = Box()
    box.runner()
    box.ask(1)
    box.ask(2)
    box.dispatcher.drain(box.now)
    box.step(2.5)
    assert not box.dispatcher.drained
    assert given(box.reply(1)) == [("r1", 2)]
    assert answers(box.reply(2)) == [("a1", 2, Outcome.OK)]
    assert box.dispatcher.drained


def test_a_drain_waits_two_seconds_for_an_asker_that_does_not_answer():
    box = Box()
    box.runner()
    box.ask(1)
    box.reply(1)
    box.dispatcher.drain(box.now)
    box.step(1.9)
    assert not box.dispatcher.drained
    box.step(0.4)
    assert box.dispatcher.drained


def test_a_drain_does_not_wait_for_an_asker_that_is_gone():
    box = Box()
    box.runner()
    box.ask(1)
    box.reply(1)
    box.dispatcher.drain(box.now)
    box.take()
    box.unroutable("a1")
    assert box.dispatcher.drained


def test_a_drain_without_askers_and_work_is_over_at_once():
    box = Box()
    assert not box.dispatcher.drained
    box.dispatcher.drain(box.now)
    assert box.dispatcher.drained
    assert box.dispatcher.next_timer() is None


def test_a_drain_ends_what_has_had_its_time():
    box = Box(drain_finish_s=5.0)
    box.runner()
    box.ask(1)
    box.ask(2)
    box.dispatcher.drain(box.now)
    sent = box.step(5.3)
    assert answers(sent) == [("a1", 1, Outcome.LOST), ("a1", 2, Reason.DRAINING)]
    assert box.dispatcher.drained
    assert box.reply(1) == []
    assert len(box.ended()) == 2


def test_acknowledging_what_was_not_asked_changes_nothing():
    box = Box()
    assert box.receive(GoAwayAck(ASKER), "a1") == []
    assert not box.dispatcher.drained


# Time


def test_at_rest_there_is_no_timer_and_an_early_one_does_nothing():
    box = Box()
    assert box.dispatcher.next_timer() is None
    box.dispatcher.handle_timer(box.now)
    box.runner()
    due = box.dispatcher.next_timer()
    assert due == box.now + 0.25
    box.ask(1)
    box.dispatcher.handle_timer(due - 0.01)
    assert box.take() == []


def test_after_all_is_over_and_forgotten_it_comes_to_rest():
    box = Box(execution_memory_s=2.0, asker_horizon_s=4.0, asker_route_idle_s=3.0, ready_silence_s=1.0)
    box.runner()
    box.ask(1)
    box.reply(1)
    box.step(10.0)
    assert box.dispatcher.next_timer() is None


def test_it_is_deterministic():
    def transcript() -> list[Outgoing]:
        box = Box(queue_length_max=1)
        box.runner()
        sent = []
        for serial in range(20):
            sent += box.ask(serial)
            box.now += 0.01
            sent += box.reply(serial // 2)
        return sent

    assert transcript() == transcript()


def test_memory_stays_within_its_bounds():
    serials = 3_000
    dispatcher = Dispatcher("box", INSTANCE, DispatchLimits(executions_max=100, result_bytes_max=4_000), Random(1))
    box = Box()
    box.dispatcher = dispatcher
    dispatcher.offer("ocr", 4)
    box.runner()
    for serial in range(serials):
        assert given(box.ask(serial)) == [("r1", serial)]
        box.reply(serial)
        assert len(dispatcher._executions) <= 100
        assert dispatcher._executions.answer_bytes <= 4_000
    assert answers(box.ask(serials - 200)) == [("a1", serials - 200, Outcome.FORGOTTEN)]
