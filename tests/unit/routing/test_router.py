"""Router: requests in, one outcome each out; deadlines, silence, going away, the table, counters."""

import pytest

from tests.unit.routing.mesh import ASKER, HOME, Mesh
from zmesh.config.limits import RoutingLimits
from zmesh.routing.router import FingerChanged, Lookup, Target, VerdictKind
from zmesh.wire.membership import Ack, Ping, State
from zmesh.wire.request import (
    Beat,
    Cancel,
    Executed,
    GoAway,
    GoAwayAck,
    NotStarted,
    Outcome,
    Reason,
    Reply,
    Request,
    RequestId,
    Stop,
)

# A request and its answer


def test_a_request_goes_to_the_one_that_offers_it_and_its_reply_comes_back() -> None:
    mesh = Mesh()
    mesh.put("a", "s", instance=5)
    request_id, out = mesh.asked(
        body=b"in",
        content_type="image/png",
        timeout_s=2.5,
        traceparent="00-1",
        idempotency_key="k",
        method="PUT",
        path="/p",
        headers=(("a", "b"),),
    )
    assert request_id == RequestId(ASKER, 1)
    assert out.to == Target("a", 5, "a:7400", "vpn")
    assert out.header == Request((ASKER, 1), 5, "s", 2500, 1, "image/png", "00-1", "k", 0, "PUT", "/p", (("a", "b"),))
    assert out.body == b"in"
    assert mesh.router.in_flight == 1
    mesh.now += 0.5
    mesh.reply(out, body=b"text", content_type="text/plain", queue_us=100_000, run_us=300_000)
    verdict = mesh.verdicts[request_id]
    assert (verdict.kind, verdict.executed, verdict.body) == (VerdictKind.OK, Executed.YES, b"text")
    assert (verdict.node_id, verdict.route, verdict.attempts) == ("a", "vpn", 1)
    assert verdict.content_type == "text/plain"
    assert (verdict.timings.queue_us, verdict.timings.run_us) == (100_000, 300_000)
    assert verdict.timings.net_us == pytest.approx(100_000, abs=2)
    assert verdict.timings.route_us == 0
    assert mesh.router.in_flight == 0


def test_ids_count_and_are_never_reused() -> None:
    mesh = Mesh("s")
    assert [mesh.submit().serial for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("outcome", [Outcome.RAISED, Outcome.INVALID, Outcome.UNSUPPORTED, Outcome.TOO_LARGE])
def test_what_the_service_said_is_passed_on(outcome: Outcome) -> None:
    mesh = Mesh("s")
    request_id, out = mesh.asked()
    mesh.reply(out, outcome, error_type="KeyError", detail="no such thing")
    verdict = mesh.verdicts[request_id]
    assert verdict.kind.name == outcome.name
    assert (verdict.error_type, verdict.detail, verdict.route) == ("KeyError", "no such thing", "local")


def test_the_path_is_named_by_the_node_also_when_the_reply_does_not_name_it() -> None:
    mesh = Mesh("s")
    request_id, out = mesh.asked()
    mesh.receive(out.to, Reply(request_id, Outcome.OK))
    assert mesh.verdicts[request_id].node_id == HOME


def test_messages_that_are_not_for_a_router_are_ignored() -> None:
    mesh = Mesh("s")
    request_id, out = mesh.asked()
    mesh.receive(out.to, Stop())
    assert request_id not in mesh.verdicts


def test_answers_to_ids_of_others_are_ignored() -> None:
    mesh = Mesh("s")
    request_id, out = mesh.asked()
    mesh.receive(out.to, Reply((ASKER + 1, request_id.serial), Outcome.OK, HOME))
    mesh.receive(out.to, NotStarted((ASKER + 1, request_id.serial), Reason.BUSY, HOME))
    mesh.receive(Target("stranger", 1, "x"), Reply((ASKER, 99), Outcome.OK, "stranger"))
    mesh.router.cancel(RequestId(ASKER + 1, request_id.serial), mesh.now)
    mesh.router.send_refused(RequestId(ASKER + 1, request_id.serial), out.to, mesh.now)
    mesh.collect()
    assert mesh.verdicts == {}
    mesh.reply(out)
    assert mesh.verdicts[request_id].kind is VerdictKind.OK


# Attempts; every rule of them is in test_router_delivery


def test_attempts_end_with_the_deadline_whoever_says_so() -> None:
    mesh = Mesh("s")
    mesh.put("a", "s")
    request_id, first = mesh.asked(timeout_s=1.0)
    mesh.refuse(first._replace(to=first.to._replace(instance=9)))
    mesh.receive(Target("a", 1, "a:7400"), NotStarted(request_id, Reason.NOT_HERE, "a"))
    assert mesh.requests(request_id) == [first]
    mesh.not_started(first, Reason.NOT_HERE)
    mesh.now += 1.0
    mesh.not_started(mesh.request(request_id), Reason.NOT_HERE)
    expired, out = mesh.asked(timeout_s=1.0)
    mesh.not_started(out, Reason.EXPIRED)
    for one, attempts in ((request_id, 2), (expired, 1)):
        verdict = mesh.verdicts[one]
        assert (verdict.kind, verdict.executed, verdict.attempts) == (VerdictKind.DEADLINE, Executed.NO, attempts)


# Deadlines


def test_the_deadline_is_the_clients_else_the_services_else_the_gateways() -> None:
    mesh = Mesh(limits=RoutingLimits(timeout_max_s=1000.0))
    mesh.put("a", "s", timeout_ms=5000)
    mesh.put("b", "t")
    asked = [mesh.asked("s", timeout_s=2.0), mesh.asked("s"), mesh.asked("t"), mesh.asked("t", timeout_s=1e9)]
    remaining = [out.header.remaining_ms for _id, out in asked if isinstance(out.header, Request)]
    assert remaining == [2000, 5000, 60_000, 1_000_000]


def test_the_default_deadline_is_the_limits() -> None:
    mesh = Mesh("s", limits=RoutingLimits(timeout_default_s=7.0))
    _, out = mesh.asked()
    assert out.header == Request((ASKER, 1), 1, "s", 7000, 1)


def test_a_deadline_that_has_passed_sends_nothing() -> None:
    mesh = Mesh("s")
    request_id = mesh.submit(timeout_s=0.0)
    verdict = mesh.verdicts[request_id]
    assert (verdict.kind, verdict.executed, verdict.attempts) == (VerdictKind.DEADLINE, Executed.NO, 0)
    assert (verdict.node_id, verdict.route) == ("", "")
    assert mesh.sent == []


@pytest.mark.parametrize("timeout_s", [0.001, 0.49, 1.0, 3.333])
def test_every_outcome_comes_by_the_deadline_and_250_ms_and_never_before(timeout_s: float) -> None:
    mesh = Mesh()
    mesh.put("a", "s")
    request_id, out = mesh.asked(timeout_s=timeout_s)
    mesh.pass_time(timeout_s - 0.0005)
    assert request_id not in mesh.verdicts
    mesh.pass_time(0.25)
    verdict = mesh.verdicts[request_id]
    assert (verdict.kind, verdict.executed) == (VerdictKind.DEADLINE, Executed.UNKNOWN)
    assert (verdict.node_id, verdict.route) == ("a", "vpn")
    assert mesh.cancels(request_id) == [out.to]


def test_a_reply_after_the_deadline_is_no_second_outcome() -> None:
    mesh = Mesh("s")
    request_id, out = mesh.asked(timeout_s=1.0)
    mesh.pass_time(2.0)
    mesh.reply(out)
    assert mesh.verdicts[request_id].kind is VerdictKind.DEADLINE


def test_no_timer_without_requests() -> None:
    mesh = Mesh("s")
    assert mesh.router.next_timer() is None
    _, out = mesh.asked(timeout_s=0.4)
    assert mesh.router.next_timer() == pytest.approx(mesh.now + 0.4)
    mesh.reply(out)
    mesh.pass_time(5.0)
    assert mesh.router.next_timer() is None


def test_the_next_timer_is_the_sooner_of_deadline_and_silence() -> None:
    mesh = Mesh("s", limits=RoutingLimits(silence_ms_max=500))
    mesh.asked(timeout_s=10.0)
    assert mesh.router.next_timer() == mesh.now + 0.5
    _, out = mesh.asked(timeout_s=0.25)
    assert mesh.router.next_timer() == mesh.now + 0.25
    mesh.pass_time(0.4)
    assert mesh.router.next_timer() == pytest.approx(mesh.now + 0.1)
    assert out.to.node_id == HOME


def test_the_sweep_ends_before_the_last_deadline_does() -> None:
    mesh = Mesh("s", limits=RoutingLimits(silence_ms_max=500))
    _, out = mesh.asked(timeout_s=10.0)
    mesh.reply(out)
    start = mesh.now
    mesh.pass_time(0.5)
    assert mesh.router.next_timer() == start + 10.0


def test_the_sweep_is_due_also_when_no_deadline_is_left() -> None:
    mesh = Mesh("s", limits=RoutingLimits(silence_ms_max=500))
    mesh.submit(timeout_s=0.25)
    start = mesh.now
    mesh.pass_time(0.3)
    assert mesh.router.next_timer() == start + 0.5


# Cancelling


def test_a_client_that_goes_cancels_what_was_handed_over() -> None:
    mesh = Mesh("s")
    request_id, out = mesh.asked()
    mesh.router.cancel(request_id, mesh.now)
    mesh.collect()
    verdict = mesh.verdicts[request_id]
    assert (verdict.kind, verdict.executed) == (VerdictKind.CANCELLED, Executed.UNKNOWN)
    assert mesh.sent[-1] == (out.to, Cancel(request_id), b"")
    mesh.router.cancel(request_id, mesh.now)
    mesh.collect()
    assert len(mesh.cancels(request_id)) == 1


# Bounds


def test_above_the_bound_of_requests_under_way_new_ones_are_busy() -> None:
    mesh = Mesh("s", limits=RoutingLimits(in_flight_max=2))
    _, first = mesh.asked()
    mesh.submit()
    refused = mesh.submit()
    verdict = mesh.verdicts[refused]
    assert (verdict.kind, verdict.executed, verdict.retryable) == (VerdictKind.BUSY, Executed.NO, True)
    assert verdict.detail == "this gateway has 2 requests under way"
    assert mesh.requests(refused) == []
    mesh.reply(first)
    assert mesh.submit() not in mesh.verdicts


# Silence


def silent(mesh: Mesh) -> list[Target]:
    return [out.to for out in mesh.sent if isinstance(out.header, Ping)]


def test_silence_makes_the_path_suspect_probes_it_and_fails_nothing() -> None:
    mesh = Mesh()
    mesh.put("a", "s", instance=3)
    request_id, out = mesh.asked()
    mesh.pass_time(0.61)
    (probe,) = [message for message in mesh.sent if isinstance(message.header, Ping)]
    assert probe.to == out.to._replace(path="probe")
    assert probe.header == Ping(HOME, ASKER, 1, "a", 3)
    assert request_id not in mesh.verdicts
    mesh.put("b", "s")
    assert {mesh.asked()[1].to.node_id for _ in range(10)} == {"b"}
    mesh.reply(out)
    assert mesh.verdicts[request_id].kind is VerdictKind.OK
    assert "a" in {mesh.asked()[1].to.node_id for _ in range(20)}


def test_an_answer_is_a_sign_of_life_for_what_else_is_there() -> None:
    mesh = Mesh("s", limits=RoutingLimits(silence_ms_max=600))
    _, first = mesh.asked()
    mesh.submit()
    mesh.pass_time(0.5)
    mesh.reply(first)
    mesh.pass_time(0.55)
    assert silent(mesh) == []
    mesh.pass_time(0.1)
    assert silent(mesh) == [first.to._replace(path="probe")]


def test_probes_are_numbered() -> None:
    mesh = Mesh("s", limits=RoutingLimits(silence_ms_max=600))
    mesh.submit()
    mesh.pass_time(2.0)
    assert [out.header.sequence for out in mesh.sent if isinstance(out.header, Ping)] == [1, 2, 3]


def test_a_beat_is_a_sign_of_life() -> None:
    mesh = Mesh()
    mesh.put("a", "s")
    request_id, out = mesh.asked()
    for _ in range(8):
        mesh.pass_time(0.25)
        mesh.receive(out.to, Beat("a", 1, (request_id,)))
    assert silent(mesh) == []
    mesh.receive(out.to, Beat("a", 2, (request_id,)))
    mesh.receive(out.to, Beat("stranger", 1))
    mesh.pass_time(0.61)
    assert len(silent(mesh)) == 1


def test_handing_over_more_does_not_put_off_the_doubt() -> None:
    mesh = Mesh()
    mesh.put("a", "s")
    for _ in range(4):
        mesh.submit()
        mesh.pass_time(0.2)
    assert len(silent(mesh)) == 1


@pytest.mark.parametrize(("instance", "cleared"), [(1, True), (2, False)])
def test_only_an_answer_of_the_same_instance_ends_suspicion(instance: int, cleared: bool) -> None:
    mesh = Mesh()
    mesh.put("a", "s")
    mesh.put("b", "s")
    out = next(out for _id, out in (mesh.asked() for _ in range(20)) if out.to.node_id == "a")
    mesh.pass_time(0.3)
    mesh.receive(Target("b", 1, "b:7400"), Beat("b", 1))
    mesh.pass_time(0.31)
    mesh.receive(out.to._replace(path="probe"), Ack("a", instance, 1, 1))
    chosen = {mesh.asked()[1].to.node_id for _ in range(30)}
    assert chosen == ({"a", "b"} if cleared else {"b"})


def test_suspicion_ends_by_itself_when_nothing_more_is_wrong() -> None:
    mesh = Mesh(limits=RoutingLimits(path_suspect_s=5.0))
    mesh.put("a", "s")
    mesh.put("b", "s")
    target = Target("a", 1, "a:7400")
    for _ in range(10):
        mesh.asked(timeout_s=0.1)
    mesh.pass_time(0.3)
    mesh.router.link_lost(target, mesh.now)
    assert {mesh.asked(timeout_s=0.1)[1].to.node_id for _ in range(10)} == {"b"}
    mesh.pass_time(100.0)
    assert "a" in {mesh.asked()[1].to.node_id for _ in range(20)}


def test_a_lost_connection_ranks_last_and_fails_nothing_and_a_new_one_is_trusted() -> None:
    mesh = Mesh("s")
    mesh.put("a", "s")
    request_id, out = mesh.asked()
    mesh.router.link_lost(out.to, mesh.now)
    mesh.router.link_lost(Target("stranger", 1, "x"), mesh.now)
    mesh.collect()
    assert request_id not in mesh.verdicts
    assert mesh.asked()[1].to.node_id == "a"
    mesh.router.link_up(out.to, mesh.now)
    mesh.router.link_up(Target("stranger", 1, "x"), mesh.now)
    assert mesh.asked()[1].to.node_id == HOME


def test_a_late_answer_is_a_sign_of_life_too() -> None:
    mesh = Mesh("s")
    request_id, out = mesh.asked(timeout_s=0.5)
    mesh.pass_time(0.6)
    assert request_id in mesh.verdicts
    mesh.router.link_lost(out.to, mesh.now)
    mesh.reply(out._replace(to=out.to._replace(instance=9)))
    assert mesh.router._directory.endpoints[HOME].suspect_until > mesh.now
    mesh.reply(out)
    home = mesh.router._directory.endpoints[HOME]
    assert (home.heard_at, home.suspect_until) == (mesh.now, 0.0)


# Going away


def test_goaway_is_answered_and_nothing_follows() -> None:
    mesh = Mesh()
    mesh.put("a", "s")
    finished, out = mesh.asked(timeout_s=10.0)
    timed_out = mesh.submit(timeout_s=1.0)
    cancelled = mesh.submit()
    mesh.receive(out.to, GoAway("a", 1))
    assert mesh.sent[-1] == (out.to, GoAwayAck(ASKER), b"")
    count = len(mesh.sent)
    mesh.put("a", "s", draining=True)
    mesh.router.cancel(cancelled, mesh.now)
    mesh.collect()
    refused = mesh.submit()
    mesh.pass_time(2.0)
    after = mesh.sent[count:]
    assert [message for message in after if message.to == out.to] == []
    assert mesh.verdicts[refused].kind is VerdictKind.DRAINING
    assert mesh.verdicts[timed_out].kind is VerdictKind.DEADLINE
    assert mesh.verdicts[cancelled].kind is VerdictKind.CANCELLED
    mesh.reply(out)
    assert mesh.verdicts[finished].kind is VerdictKind.OK


def test_goaway_drops_the_finger_before_the_table_knows() -> None:
    mesh = Mesh()
    mesh.put("a", "s")
    mesh.put("b", "s")
    mesh.submit()
    mesh.fingers.clear()
    mesh.receive(Target("a", 1, "a:7400"), GoAway("a", 1))
    assert mesh.fingers == [FingerChanged("s", None)]
    assert {mesh.asked()[1].to.node_id for _ in range(20)} == {"b"}


def test_goaway_of_a_node_not_known_is_answered_too() -> None:
    mesh = Mesh()
    stranger = Target("stranger", 1, "x:1")
    mesh.receive(stranger, GoAway("stranger", 1))
    assert mesh.sent == [(stranger, GoAwayAck(ASKER), b"")]


# What is counted


def test_hits_and_misses_are_the_look_ups_once_per_request() -> None:
    mesh = Mesh("l")
    mesh.put("a", "s")
    mesh.put("b", "s")
    mesh.asked("l")
    mesh.submit("nowhere")
    _, first = mesh.asked("s")
    mesh.not_started(first)
    mesh.refuse(mesh.request(RequestId(ASKER, 3)))
    _, second = mesh.asked("s")
    mesh.reply(second)
    _, third = mesh.asked("s")
    mesh.reply(third)
    mesh.reply(mesh.requests(RequestId(ASKER, 1))[0])
    looked_up = {event.request_id[1]: event.lookup for event in mesh.finished}
    assert looked_up == {1: Lookup.NONE, 2: Lookup.MISS, 3: Lookup.MISS, 4: Lookup.HIT, 5: Lookup.HIT}


def test_the_finger_gauge_follows() -> None:
    mesh = Mesh()
    mesh.put("a", "s")
    mesh.submit()
    assert mesh.fingers == [FingerChanged("s", mesh.now + 60.0)]
    mesh.put("a", "s", state=State.DEAD)
    assert mesh.fingers[1:] == [FingerChanged("s", None)]


def test_the_same_seed_gives_the_same_choices() -> None:
    def choices(seed: int) -> list[str]:
        mesh = Mesh(seed=seed)
        for name in "abcdefgh":
            mesh.put(name, "s")
        return [mesh.asked()[1].to.node_id for _ in range(50)]

    assert choices(1) == choices(1)
    assert choices(1) != choices(2)
