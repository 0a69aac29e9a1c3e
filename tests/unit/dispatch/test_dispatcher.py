"""The dispatcher's rules, each by what goes out when messages come in; time is stepped."""

from tests.unit.dispatch.box import ASKER, INSTANCE, Box, answers, given
from zmesh.dispatch.event import Outgoing
from zmesh.wire.request import (
    Beat,
    Cancel,
    Chunk,
    Outcome,
    Reason,
    Reply,
    Request,
    Stop,
)

# The way of a request


def test_a_request_goes_to_a_runner_and_its_reply_back_with_node_and_times():
    box = Box()
    box.runner()
    request = Request((ASKER, 1), INSTANCE, "ocr", 60_000, content_type="image/png", traceparent="tp")
    assert box.receive(request, "a1", b"in") == [Outgoing("r1", request, b"in")]
    box.now += 0.25
    [answer] = box.reply(1, content_type="text/plain", error_type="E", detail="d")
    assert answer.route == "a1"
    assert answer.body == b"out"
    assert answer.header == Reply((ASKER, 1), Outcome.OK, "box", "text/plain", 0, 250_000, "E", "d")


def test_the_run_time_the_runner_measured_is_preferred_to_the_nodes():
    box = Box()
    box.runner()
    box.ask(1)
    [answer] = box.reply(1, run_us=12)
    assert answer.header.run_us == 12


def test_waiting_is_measured_and_taken_off_the_time_that_remains():
    box = Box()
    box.runner()
    box.ask(1)
    request = Request((ASKER, 2), INSTANCE, "ocr", 1_000, 3, "t", "tp", "key", 5, "PUT", "/p", (("a", "b"),))
    assert box.receive(request, "a1", b"body") == []
    box.now += 0.25
    handed = next(message for message in box.reply(1) if message.route == "r1")
    assert handed.header == Request(
        (ASKER, 2), INSTANCE, "ocr", 750, 3, "t", "tp", "key", 5, "PUT", "/p", (("a", "b"),)
    )
    assert handed.body == b"body"
    [answer] = box.reply(2)
    assert answer.header.queue_us == 250_000


def test_every_end_is_an_event():
    box = Box()
    box.runner()
    box.ask(1)
    box.now += 1
    box.reply(1)
    box.ask(2, service="no")
    ended = [event for event in box.events if type(event).__name__ == "RequestEnded"]
    assert [(event.id, event.service, event.outcome, event.run_us) for event in ended] == [
        ((ASKER, 1), "ocr", Outcome.OK, 1_000_000),
        ((ASKER, 2), "no", Reason.NOT_HERE, 0),
    ]


def test_messages_of_no_use_here_are_counted():
    box = Box()
    for total in (1, 2):
        assert box.receive(Chunk((ASKER, 1), 0), "a1") == []
        assert box.dispatcher.counters.unexpected == total


# Refusals


def test_a_request_for_another_start_of_the_node_is_refused_but_not_remembered():
    box = Box()
    box.runner()
    assert answers(box.ask(1, target=INSTANCE + 1)) == [("a1", 1, Reason.WRONG_INSTANCE)]
    assert given(box.ask(1)) == [("r1", 1)]


def test_a_service_that_is_not_offered_is_not_here():
    box = Box()
    assert answers(box.ask(1, service="llm")) == [("a1", 1, Reason.NOT_HERE)]


def test_an_offered_service_without_a_runner_yet_is_busy():
    box = Box()
    assert answers(box.ask(1)) == [("a1", 1, Reason.BUSY)]


def test_a_request_without_time_left_is_not_started():
    box = Box()
    box.runner()
    assert answers(box.ask(1, remaining_ms=0)) == [("a1", 1, Reason.EXPIRED)]


def test_a_full_queue_says_when_to_come_back_by_its_own_rate():
    box = Box(queue_length_max=1)
    box.runner()
    box.ask(1)
    box.now += 2.0
    box.reply(1)
    box.ask(2)
    assert box.ask(3) == []
    [refusal] = box.ask(4)
    assert refusal.header.reason is Reason.BUSY
    # One slot, two seconds each, one waiting before: four seconds, spread over a quarter more.
    assert 4_000 <= refusal.header.retry_after_ms <= 5_000
    [too_late] = box.ask(5, remaining_ms=0)
    assert (too_late.header.reason, too_late.header.retry_after_ms) == (Reason.EXPIRED, 0)


def test_a_service_without_a_queue_is_busy_when_its_slots_are_taken():
    box = Box(queue_length_max=0)
    box.runner()
    assert given(box.ask(1)) == [("r1", 1)]
    assert answers(box.ask(2)) == [("a1", 2, Reason.BUSY)]


def test_waiting_bodies_are_bounded_over_all_services():
    box = Box(queue_bytes_max=10)
    box.dispatcher.offer("llm", 4)
    box.runner()
    box.runner("r2", 2, service="llm")
    box.ask(1)
    box.ask(2, service="llm")
    assert box.ask(3, body=b"123456") == []
    assert answers(box.ask(4, service="llm", body=b"12345")) == [("a1", 4, Reason.BUSY)]
    assert box.ask(5, service="llm", body=b"1234") == []
    box.reply(1)  # serial 3 leaves the queue
    assert box.ask(6, service="llm", body=b"123456") == []


def test_what_was_refused_stays_refused_so_that_a_late_copy_never_runs():
    box = Box(queue_length_max=0)
    box.runner()
    box.ask(1)
    box.ask(2)
    box.reply(1)
    # The slot is free now, but its asker may have gone elsewhere with 2.
    assert answers(box.ask(2, route="a2")) == [("a2", 2, Reason.BUSY)]
    box.step(6.0)
    assert answers(box.ask(2, route="a2")) == [("a2", 2, Outcome.FORGOTTEN)]


def test_when_every_remembered_id_is_unfinished_a_new_one_is_busy_for_good():
    box = Box(executions_max=2)
    box.runner()
    box.ask(1)
    box.ask(2)
    assert answers(box.ask(3)) == [("a1", 3, Reason.BUSY)]
    box.reply(1)
    box.reply(2)
    assert answers(box.ask(3)) == [("a1", 3, Outcome.FORGOTTEN)]
    assert given(box.ask(4)) == [("r1", 4)]
    box.step(1.0)
    assert box.dispatcher._executions.may_be_forgotten((ASKER, 3), box.now)


def test_askers_beyond_the_bound_are_busy():
    box = Box(asker_routes_max=1)
    box.runner()
    box.ask(1)
    assert answers(box.ask(2, route="a2")) == [("a2", 2, Reason.BUSY)]


# One id, one execution


def test_a_copy_by_another_route_attaches_and_gets_the_answer():
    box = Box()
    box.runner()
    box.ask(1, route="vpn")
    assert box.ask(1, route="tunnel") == []
    [answer] = box.reply(1)
    assert answer.route == "tunnel"
    assert box.dispatcher.counters.attached == 1
    box.ask(1, route="vpn")
    assert box.dispatcher.counters.attached == 2


def test_a_copy_is_a_sign_of_its_route():
    box = Box(asker_route_idle_s=10.0)
    box.runner()
    box.ask(1, route="vpn")
    box.step(5.0)
    box.ask(1, route="tunnel")
    box.reply(1)
    box.step(6.0)
    assert box.dispatcher._askers.routes == ("tunnel",)


def test_a_copy_of_a_waiting_request_attaches_and_is_given_once():
    box = Box()
    box.runner()
    box.ask(1)
    box.ask(2, route="vpn")
    assert box.ask(2, route="tunnel") == []
    assert given(box.reply(1)) == [("r1", 2)]
    assert answers(box.reply(2)) == [("tunnel", 2, Outcome.OK)]


def test_a_copy_of_a_finished_request_gets_the_stored_answer():
    box = Box()
    box.runner()
    box.ask(1, route="vpn")
    [first] = box.reply(1, content_type="t")
    [second] = box.ask(1, route="tunnel")
    assert second == first._replace(route="tunnel")


def test_a_copy_after_its_answer_was_let_go_is_refused_never_run():
    box = Box(result_memory_s=5.0)
    box.runner()
    box.ask(1)
    box.reply(1)
    box.step(5.5)
    [answer] = box.ask(1)
    assert answer.header.outcome is Outcome.FORGOTTEN
    assert answer.header.node_id == "box"


def test_an_id_that_may_have_been_forgotten_is_refused_and_a_newer_one_runs():
    box = Box(execution_memory_s=10.0)
    box.runner()
    box.ask(5)
    box.reply(5)
    for _ in range(12):
        box.step(1.0)
        box.runner()
    assert answers(box.ask(5)) == [("a1", 5, Outcome.FORGOTTEN)]
    assert answers(box.ask(4)) == [("a1", 4, Outcome.FORGOTTEN)]
    assert box.dispatcher.counters.forgotten == 2
    assert given(box.ask(6)) == [("r1", 6)]


def test_a_copy_by_a_route_too_many_leaves_the_answer_where_it_was():
    box = Box(asker_routes_max=1)
    box.runner()
    box.ask(1)
    assert box.ask(1, route="a2") == []
    assert answers(box.reply(1)) == [("a1", 1, Outcome.OK)]


def test_a_copy_of_a_cancelled_request_hears_that_at_once():
    box = Box()
    box.runner()
    box.ask(1)
    box.cancel(1)
    assert answers(box.ask(1, route="a2")) == [("a2", 1, Outcome.CANCELLED)]


# Deadlines


def test_work_that_waited_too_long_is_dropped_by_the_sweep():
    box = Box()
    box.runner()
    box.ask(1)
    box.ask(2, remaining_ms=500)
    assert answers(box.step(1.0)) == [("a1", 2, Reason.EXPIRED)]
    assert given(box.reply(1)) == []


def test_work_that_waited_too_long_is_dropped_before_it_starts_not_at_the_next_sweep():
    box = Box()
    box.runner()
    box.ask(1)
    box.ask(2, remaining_ms=100)
    box.ask(3)
    box.now += 0.11
    sent = box.reply(1)
    assert given(sent) == [("r1", 3)]
    assert ("a1", 2, Reason.EXPIRED) in answers(sent)


# Cancelling


def test_cancel_of_waiting_work_ends_it():
    box = Box()
    box.runner()
    box.ask(1)
    box.ask(2)
    assert answers(box.cancel(2)) == [("a1", 2, Outcome.CANCELLED)]
    assert given(box.reply(1)) == []


def test_cancel_of_running_work_goes_to_the_runner_once_and_frees_no_slot():
    box = Box()
    box.runner()
    box.ask(1)
    box.ask(2)
    assert box.cancel(1) == [Outgoing("r1", Cancel((ASKER, 1)))]
    assert box.cancel(1) == []
    assert given(box.step(5.0)) == []
    sent = box.reply(1)
    assert given(sent) == [("r1", 2)]
    assert answers(sent) == []  # nobody hears the answer of what was cancelled
    assert ((ASKER, 1), Outcome.CANCELLED) in box.ended()


def test_cancel_of_what_is_unknown_or_over_changes_nothing():
    box = Box()
    box.runner()
    assert box.cancel(7) == []
    box.ask(1)
    box.reply(1)
    assert box.cancel(1) == []


# Askers that live, and that do not


def test_an_asker_hears_beats_while_its_work_is_unfinished():
    box = Box()
    box.runner()
    box.ask(1)
    box.ask(2)
    assert box.step(0.5) == [Outgoing("a1", Beat("box", INSTANCE, ((ASKER, 1), (ASKER, 2))))] * 2
    box.reply(1)
    assert box.step(0.25) == [Outgoing("a1", Beat("box", INSTANCE, ((ASKER, 2),)))]
    box.reply(2)
    assert box.step(0.5) == []


def test_the_newest_route_hears_the_beats():
    box = Box()
    box.runner()
    box.ask(1, route="vpn")
    box.ask(1, route="tunnel")
    assert [message.route for message in box.step(0.25)] == ["tunnel"]


def test_the_work_of_an_asker_that_is_gone_is_cancelled_at_once():
    box = Box()
    box.runner()
    box.ask(1)
    box.ask(2)
    assert box.unroutable("a1") == [Outgoing("r1", Cancel((ASKER, 1)))]
    assert box.ended() == [((ASKER, 2), Outcome.CANCELLED)]
    assert box.step(0.5) == []
    assert box.reply(1) == []


def test_an_asker_that_may_come_back_has_a_second_to_attach():
    box = Box()
    box.runner()
    box.ask(1)
    box.ask(2)
    box.step(0.1)
    assert box.unroutable("a1", may_return=True) == []
    assert box.unroutable("a1", may_return=True) == []
    assert box.step(0.99) == []
    assert box.ended() == []
    assert box.step(0.02) == [Outgoing("r1", Cancel((ASKER, 1)))]
    assert box.ended() == [((ASKER, 2), Outcome.CANCELLED)]


def test_an_asker_that_comes_back_over_another_route_keeps_its_work():
    box = Box()
    box.runner()
    box.ask(1, route="vpn")
    box.unroutable("vpn", may_return=True)
    box.step(0.5)
    box.ask(1, route="tunnel")
    assert {message.route for message in box.step(2.0)} == {"tunnel"}
    assert answers(box.reply(1)) == [("tunnel", 1, Outcome.OK)]


def test_what_ends_while_its_asker_is_away_waits_for_it():
    box = Box()
    box.runner()
    box.ask(1, route="vpn")
    box.unroutable("vpn", may_return=True)
    assert box.reply(1) == []
    assert answers(box.ask(1, route="tunnel")) == [("tunnel", 1, Outcome.OK)]


def test_a_route_that_nobody_knows_is_not_missed():
    box = Box()
    assert box.unroutable("nobody") == []


# Offering and withdrawing


def test_offering_again_changes_nothing():
    box = Box(queue_length_max=1)
    box.runner()
    box.dispatcher.offer("ocr", 9)
    box.ask(1)
    box.ask(2)
    assert answers(box.ask(3)) == [("a1", 3, Reason.BUSY)]


def test_a_withdrawn_service_refuses_what_waits_finishes_what_runs_and_stops_its_runners():
    box = Box()
    box.runner()
    box.ask(1)
    box.ask(2)
    box.dispatcher.withdraw("ocr", box.now)
    box.dispatcher.withdraw("ocr", box.now)
    sent = box.take()
    assert answers(sent) == [("a1", 2, Reason.NOT_HERE)]
    assert Outgoing("r1", Stop()) in sent
    assert answers(box.ask(3)) == [("a1", 3, Reason.NOT_HERE)]
    assert answers(box.reply(1)) == [("a1", 1, Outcome.OK)]
    assert box.dispatcher.offers() == ()
    assert box.stopped() == []


def test_withdrawing_one_service_leaves_the_others():
    box = Box()
    box.dispatcher.offer("llm", 4)
    box.runner()
    box.runner("r2", 2, service="llm")
    box.dispatcher.withdraw("llm", box.now)
    assert [message.route for message in box.take()] == ["r2"]
    assert given(box.ask(1)) == [("r1", 1)]


def test_offers_and_loads_tell_slots_types_and_how_busy_it_is():
    box = Box()
    assert box.dispatcher.offers() == ()
    box.runner(slots=2, content_types=("image/png",))
    box.runner("r2", 2, content_types=("application/json", "image/png"))
    assert box.dispatcher.offers() == (("ocr", 3, ("application/json", "image/png")),)
    for serial in range(5):
        box.ask(serial)
    box.now += 0.5
    box.reply(0, "r2")
    [load] = box.dispatcher.loads()
    assert (load.name, load.queued, load.running, load.run_us) == ("ocr", 1, 3, 500_000)
