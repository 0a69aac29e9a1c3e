"""Runners: how they attach, get work, stop and die. A slot comes back by an answer or a death, by nothing else."""

from tests.unit.dispatch.box import ASKER, INSTANCE, Box, answers, given
from zmesh.dispatch.event import Outgoing, RunnerAttached, RunnerGone, ServiceDown, ServiceUp
from zmesh.wire.request import Attached, Cancel, NotStarted, Outcome, Reason, Stop

ATTACHED = Attached("box", INSTANCE)


def events(box: Box) -> list[object]:
    box.take()
    told, box.events = box.events, []
    return told


# Attaching


def test_a_new_runner_is_told_the_node_and_brings_the_service_up():
    box = Box()
    assert box.runner(slots=3) == [Outgoing("r1", ATTACHED)]
    assert events(box) == [RunnerAttached("ocr", 11, 1, 3), ServiceUp("ocr")]
    box.runner("r2", 2, pid=12)
    assert events(box) == [RunnerAttached("ocr", 12, 2, 1)]


def test_a_repeated_ready_is_answered_only_if_the_runner_believes_in_another_node():
    box = Box()
    box.runner()
    assert box.runner(node_instance=INSTANCE) == []
    assert box.runner(node_instance=0) == [Outgoing("r1", ATTACHED)]
    assert box.runner(node_instance=INSTANCE + 1) == [Outgoing("r1", ATTACHED)]


def test_a_repeated_ready_frees_no_slot():
    box = Box()
    box.runner()
    box.ask(1)
    box.ask(2)
    assert given(box.runner(node_instance=INSTANCE)) == []
    assert given(box.runner(slots=5)) == []
    assert given(box.ask(3)) == []


def test_a_runner_of_a_service_that_is_not_offered_is_told_to_stop():
    box = Box()
    for total in (1, 2):
        assert box.runner(service="llm") == [Outgoing("r1", Stop())]
        assert box.dispatcher.counters.runners_refused == total


def test_runners_and_their_slots_are_bounded():
    box = Box(runners_max=1, slots_per_runner_max=4)
    assert box.runner("r1", 1, slots=5) == [Outgoing("r1", Stop())]
    assert box.runner("r1", 1, slots=4) == [Outgoing("r1", ATTACHED)]
    assert box.runner("r2", 2) == [Outgoing("r2", Stop())]


def test_a_new_runner_takes_what_waits():
    box = Box()
    box.runner()
    box.ask(1)
    box.ask(2)
    box.ask(3)
    assert given(box.runner("r2", 2)) == [("r2", 2)]


def test_the_same_runner_on_a_new_connection_has_lost_what_it_held_on_the_old_one():
    box = Box()
    box.runner("r1", 1)
    box.ask(1)
    sent = box.runner("r1-again", 1)
    assert answers(sent) == [("a1", 1, Outcome.LOST)]
    assert RunnerGone("ocr", 11, 1, "replaced", 1) in events(box)
    assert given(box.ask(2)) == [("r1-again", 2)]


# Work


def test_the_least_recently_used_free_runner_is_next():
    box = Box()
    for number in (3, 2, 1):
        box.runner(f"r{number}", number)
    assert [given(box.ask(serial)) for serial in (1, 2, 3)] == [[("r1", 1)], [("r2", 2)], [("r3", 3)]]
    box.reply(2, "r2")
    box.reply(1, "r1")
    assert given(box.ask(4)) == [("r2", 4)]


def test_a_runner_gets_no_more_than_its_slots_and_shares_in_turn():
    box = Box()
    box.runner("r2", 2, slots=2)
    box.runner("r1", 1, slots=2)
    handed = [given(box.ask(serial)) for serial in range(5)]
    assert handed == [[("r1", 0)], [("r2", 1)], [("r1", 2)], [("r2", 3)], []]
    assert given(box.reply(2, "r1")) == [("r1", 4)]


def test_first_come_first_served():
    box = Box()
    box.runner()
    for serial in (1, 2, 3):
        box.ask(serial)
    assert given(box.reply(1)) == [("r1", 2)]
    assert given(box.reply(2)) == [("r1", 3)]


def test_a_reply_to_what_this_connection_does_not_hold_is_ignored():
    box = Box()
    box.runner("r2", 2)
    box.runner("r1", 1)
    box.ask(1)
    box.ask(2)
    box.ask(3)
    assert box.reply(1, "r2") == []
    assert box.reply(9, "r1") == []
    assert box.reply(1, "stranger") == []
    assert box.dispatcher.counters.stray_replies == 3
    box.reply(1, "r1")
    assert box.reply(1, "r1") == []


def test_a_runner_that_finds_it_too_late_frees_its_slot():
    box = Box()
    box.runner()
    box.ask(1)
    box.ask(2)
    sent = box.receive(NotStarted((ASKER, 1), Reason.EXPIRED), "r1")
    assert given(sent) == [("r1", 2)]
    assert answers(sent) == [("a1", 1, Reason.EXPIRED)]
    assert box.receive(NotStarted((ASKER, 1), Reason.EXPIRED), "r1") == []


# Death


def test_what_a_dead_runner_held_is_lost_at_once():
    box = Box()
    box.runner(slots=2)
    box.runner("r2", 2, pid=12)
    box.ask(1)
    box.ask(2)
    box.ask(3)
    box.dispatcher.runner_exited(11, box.now)
    sent = box.take()
    lost = [message.header for message in sent if message.route == "a1"]
    assert [header.outcome for header in lost] == [Outcome.LOST, Outcome.LOST]
    assert all("exited" in header.detail and header.node_id == "box" for header in lost)
    assert RunnerGone("ocr", 11, 1, "exited", 2) in events(box)
    assert box.dispatcher.offers() == (("ocr", 1, ()),)


def test_one_death_ends_all_connections_of_the_process():
    box = Box()
    box.runner("r1", 1)
    box.runner("r2", 2)
    box.dispatcher.runner_exited(11, box.now)
    told = events(box)
    assert [type(event) for event in told][-3:] == [RunnerGone, RunnerGone, ServiceDown]
    box.dispatcher.runner_exited(11, box.now)
    assert events(box) == []


def test_a_request_whose_send_was_refused_goes_to_another_runner_before_all_that_waits():
    box = Box()
    box.runner("r2", 2)
    box.runner("r1", 1)
    [handed] = box.ask(1)
    box.ask(2)
    box.ask(3)
    assert box.unroutable("r1", handed.header) == []
    assert given(box.reply(2, "r2")) == [("r2", 1)]
    assert given(box.reply(1, "r2")) == [("r2", 3)]
    assert (ASKER, 1) in [request_id for request_id, outcome in box.ended() if outcome is Outcome.OK]


def test_a_request_whose_send_was_refused_starts_at_once_where_a_slot_is_free():
    box = Box()
    box.runner("r2", 2)
    box.runner("r1", 1)
    [handed] = box.ask(1)
    assert given(box.unroutable("r1", handed.header)) == [("r2", 1)]


def test_what_was_sent_before_a_refused_request_is_lost_and_what_came_after_waits_too():
    box = Box()
    box.runner(slots=3)
    box.ask(1)
    [refused] = box.ask(2)
    [after] = box.ask(3)
    assert answers(box.unroutable("r1", refused.header)) == [("a1", 1, Outcome.LOST)]
    assert box.unroutable("r1", after.header) == []
    assert given(box.runner("r2", 2, slots=2)) == [("r2", 2), ("r2", 3)]


def test_any_other_refused_send_shows_that_the_runner_is_dead():
    box = Box()
    box.runner()
    box.ask(1)
    [cancel] = box.cancel(1)
    box.unroutable("r1", cancel.header)
    assert box.ended() == [((ASKER, 1), Outcome.LOST)]
    assert RunnerGone("ocr", 11, 1, "unroutable", 1) in events(box)


def test_a_request_that_waits_again_can_be_cancelled():
    box = Box()
    box.runner()
    [handed] = box.ask(1)
    box.unroutable("r1", handed.header)
    assert answers(box.cancel(1)) == [("a1", 1, Outcome.CANCELLED)]
    assert given(box.runner("r2", 2)) == []


def test_a_refused_request_that_has_its_end_already_does_not_run_again():
    box = Box(drain_finish_s=0.0)
    box.runner()
    [handed] = box.ask(1)
    box.dispatcher.drain(box.now)
    box.unroutable("r1", handed.header)
    assert given(box.runner("r2", 2)) == []
    assert len(box.ended()) == 1


def test_what_has_its_end_already_is_not_lost_again():
    box = Box(drain_finish_s=0.0)
    box.runner()
    box.ask(1)
    box.dispatcher.drain(box.now)
    box.dispatcher.runner_exited(11, box.now)
    assert len(box.ended()) == 1
    assert RunnerGone("ocr", 11, 1, "exited", 0) in events(box)


def test_a_cancelled_request_whose_send_was_refused_ends_there():
    box = Box()
    box.runner()
    [handed] = box.ask(1)
    box.cancel(1)
    box.unroutable("r1", handed.header)
    assert box.ended() == [((ASKER, 1), Outcome.CANCELLED)]
    assert given(box.runner("r2", 2)) == []


def test_a_refused_request_of_a_service_withdrawn_meanwhile_is_not_here():
    box = Box()
    box.runner()
    [handed] = box.ask(1)
    box.dispatcher.withdraw("ocr", box.now)
    assert answers(box.unroutable("r1", handed.header)) == [("a1", 1, Reason.NOT_HERE)]


def test_an_idle_runner_that_falls_silent_is_gone_and_may_come_back():
    box = Box(ready_silence_s=10.0)
    box.runner()
    box.step(5.0)
    box.runner(node_instance=INSTANCE)
    box.step(9.9)
    assert box.dispatcher.offers()
    box.step(0.5)
    assert not box.dispatcher.offers()
    assert RunnerGone("ocr", 11, 1, "silent") in events(box)
    box.runner()
    assert given(box.ask(1)) == [("r1", 1)]


def test_one_that_speaks_does_not_hide_one_that_is_silent():
    box = Box(ready_silence_s=10.0)
    box.runner("r1", 1)
    box.runner("r2", 2)
    box.step(5.0)
    box.runner("r1", 1, node_instance=INSTANCE)
    box.step(5.5)
    assert [event.runner for event in events(box) if isinstance(event, RunnerGone)] == [2]


def test_a_busy_runner_is_not_silent_but_its_connection_is_looked_at():
    box = Box(ready_silence_s=10.0, beat_interval_s=1.0)
    box.runner()
    box.ask(1, remaining_ms=3_600_000)
    probes = [message for message in box.step(35.0) if message.route == "r1"]
    assert probes == [Outgoing("r1", ATTACHED)] * 3
    assert answers(box.unroutable("r1", ATTACHED)) == [("a1", 1, Outcome.LOST)]


# The last runner


def test_work_waits_for_a_service_whose_last_runner_went_a_moment_ago():
    box = Box(runner_return_s=3.0)
    box.runner()
    box.ask(1)
    box.ask(2)
    box.dispatcher.runner_exited(11, box.now)
    assert ServiceDown("ocr") in events(box)
    box.step(1.0)
    assert box.ask(3) == []
    assert given(box.runner("r2", 2, slots=2)) == [("r2", 2), ("r2", 3)]


def test_work_that_waits_for_no_runner_is_busy_after_a_while():
    box = Box(runner_return_s=3.0)
    box.runner()
    box.ask(1)
    box.ask(2)
    box.dispatcher.runner_exited(11, box.now)
    box.take()
    assert ("a1", 2, Reason.BUSY) in answers(box.step(3.3))
    assert answers(box.ask(4)) == [("a1", 4, Reason.BUSY)]


# Stopping


def test_a_stopping_runner_gets_nothing_new_and_finishes_what_it_holds():
    box = Box()
    box.runner()
    box.ask(1)
    box.dispatcher.stop_runners(box.now)
    assert box.take() == [Outgoing("r1", Stop())]
    assert ServiceDown("ocr") in events(box)
    assert given(box.ask(2)) == []
    assert given(box.runner(node_instance=INSTANCE)) == []
    sent = box.reply(1)
    assert answers(sent) == [("a1", 1, Outcome.OK)]
    assert given(sent) == []
    box.dispatcher.stop_runners(box.now)
    assert ServiceDown("ocr") not in events(box)
    box.stopped()
    assert events(box) == [RunnerGone("ocr", 11, 1, "stopped")]


def test_runners_are_stopped_by_service_or_process():
    box = Box()
    box.dispatcher.offer("llm", 4)
    box.runner("r1", 1, pid=11)
    box.runner("r2", 2, pid=12)
    box.runner("r3", 3, pid=13, service="llm")
    box.dispatcher.stop_runners(box.now, service="llm")
    assert [message.route for message in box.take()] == ["r3"]
    box.dispatcher.stop_runners(box.now, pid=12)
    assert [message.route for message in box.take()] == ["r2"]
    assert given(box.ask(1)) == [("r1", 1)]


def test_what_a_stopped_runner_did_not_answer_it_never_took():
    box = Box()
    box.runner("r2", 2)
    box.runner("r1", 1, slots=2)
    box.ask(1)
    box.ask(2)
    box.ask(3)
    box.ask(4)
    assert given(box.reply(1, "r1")) == [("r1", 4)]
    assert answers(box.stopped("r1")) == []
    assert given(box.reply(2, "r2")) == [("r2", 3)]
    assert given(box.reply(3, "r2")) == [("r2", 4)]


def test_the_last_runner_that_stops_by_itself_takes_the_service_down_and_ends_what_was_cancelled():
    box = Box(runner_return_s=3.0)
    box.runner()
    box.ask(1)
    box.cancel(1)
    box.stopped()
    assert box.ended() == [((ASKER, 1), Outcome.CANCELLED)]
    assert events(box)[-2:] == [RunnerGone("ocr", 11, 1, "stopped"), ServiceDown("ocr")]


def test_stopped_by_a_stranger_is_ignored():
    box = Box()
    assert box.stopped("stranger") == []
    assert events(box) == []


def test_cancel_reaches_a_stopping_runner():
    box = Box()
    box.runner()
    box.ask(1)
    box.dispatcher.stop_runners(box.now)
    box.take()
    assert box.cancel(1) == [Outgoing("r1", Cancel((ASKER, 1)))]
