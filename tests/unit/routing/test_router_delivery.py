"""The promise of delivery: at most once, retried only while it is certain that service code has not seen it."""

import pytest

from tests.unit.routing.mesh import HOME, Mesh
from zmesh.config.limits import RoutingLimits
from zmesh.routing.router import Outgoing, Target, Verdict, VerdictKind
from zmesh.wire import decode, encode
from zmesh.wire.dialect import FROM_GATEWAY
from zmesh.wire.membership import State
from zmesh.wire.request import Beat, Executed, NotStarted, Outcome, Reason, Request, RequestId

PROOFS = ["refused", "busy", "not here", "draining", "wrong instance"]


def prove(mesh: Mesh, out: Outgoing, proof: str) -> None:
    if proof == "refused":
        mesh.refuse(out)
    else:
        mesh.not_started(out, Reason[proof.upper().replace(" ", "_")])


def two(**limits: float) -> Mesh:
    mesh = Mesh(limits=RoutingLimits(**limits))
    mesh.put("a", "s")
    mesh.put("b", "s")
    return mesh


def other(node_id: str) -> str:
    return "b" if node_id == "a" else "a"


# Retried


@pytest.mark.parametrize("proof", PROOFS)
def test_proven_not_started_it_goes_to_another(proof: str) -> None:
    mesh = two()
    request_id, first = mesh.asked(timeout_s=10.0)
    mesh.now += 1.5
    prove(mesh, first, proof)
    second = mesh.request(request_id)
    assert second.to.node_id == other(first.to.node_id)
    assert isinstance(second.header, Request)
    assert (second.header.id, second.header.attempt, second.header.remaining_ms) == (request_id, 2, 8500)
    assert second.body == first.body
    mesh.reply(second)
    verdict = mesh.verdicts[request_id]
    assert (verdict.kind, verdict.attempts, verdict.node_id) == (VerdictKind.OK, 2, second.to.node_id)
    assert verdict.timings.route_us == 1_500_000


@pytest.mark.parametrize("proof", PROOFS)
def test_one_that_was_tried_is_never_tried_again(proof: str) -> None:
    mesh = two()
    request_id, first = mesh.asked()
    prove(mesh, first, proof)
    prove(mesh, mesh.request(request_id), proof)
    assert len(mesh.requests(request_id)) == 2
    verdict = mesh.verdicts[request_id]
    assert (verdict.executed, verdict.attempts, verdict.retryable) == (Executed.NO, 2, True)
    assert (verdict.node_id, verdict.route) == ("", "")


def test_local_proven_not_started_goes_to_another_box() -> None:
    mesh = Mesh("s")
    mesh.put("a", "s")
    request_id, first = mesh.asked()
    assert first.to.node_id == HOME
    mesh.not_started(first)
    assert mesh.request(request_id).to.node_id == "a"


def test_a_new_start_of_the_node_that_refused_is_another_instance() -> None:
    mesh = Mesh()
    mesh.put("a", "s")
    request_id, first = mesh.asked()
    mesh.refuse(first)
    assert mesh.verdicts[request_id].kind is VerdictKind.DEAD
    request_id, first = mesh.asked()
    mesh.put("b", "s")
    mesh.refuse(first)
    second = mesh.request(request_id)
    assert second.to.node_id == "b"
    mesh.put("a", "s", instance=2)
    mesh.refuse(second)
    assert mesh.request(request_id).to[:2] == ("a", 2)


# Not retried


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.OK])
def test_whatever_a_reply_says_it_is_the_end(outcome: Outcome) -> None:
    mesh = two()
    request_id, out = mesh.asked()
    mesh.reply(out, outcome)
    assert len(mesh.requests(request_id)) == 1
    assert request_id in mesh.verdicts


def test_silence_alone_hands_it_to_nobody_else() -> None:
    mesh = two()
    request_id, out = mesh.asked(timeout_s=20.0)
    mesh.router.link_lost(out.to, mesh.now)
    mesh.pass_time(19.0)
    assert len(mesh.requests(request_id)) == 1
    assert request_id not in mesh.verdicts


@pytest.mark.parametrize(("state", "why"), [(State.DEAD, "it died"), (State.LEFT, "it left")])
def test_in_the_hands_of_the_dead_its_outcome_is_unknown_at_once(state: State, why: str) -> None:
    mesh = two()
    request_id, out = mesh.asked()
    mesh.put(out.to.node_id, "s", state=state)
    verdict = mesh.verdicts[request_id]
    assert (verdict.kind, verdict.executed, verdict.retryable) == (VerdictKind.LOST, Executed.UNKNOWN, False)
    assert (verdict.node_id, verdict.detail) == (out.to.node_id, f"{out.to.node_id} had it when {why}")
    assert len(mesh.requests(request_id)) == 1
    assert mesh.cancels(request_id) == []


def test_in_the_hands_of_an_earlier_start_its_outcome_is_unknown_at_once() -> None:
    mesh = two()
    request_id, out = mesh.asked()
    mesh.put(out.to.node_id, "s", instance=2)
    assert mesh.verdicts[request_id].kind is VerdictKind.LOST
    assert mesh.verdicts[request_id].detail == f"{out.to.node_id} had it when it was replaced by a new start"


def test_in_the_hands_of_the_forgotten_its_outcome_is_unknown_at_once() -> None:
    mesh = two()
    request_id, out = mesh.asked()
    mesh.remove(out.to.node_id)
    assert mesh.verdicts[request_id].kind is VerdictKind.LOST
    assert mesh.verdicts[request_id].detail == f"{out.to.node_id} had it when the mesh forgot it"


def test_a_death_ends_only_what_the_dead_had() -> None:
    mesh = two()
    asked = [mesh.asked() for _ in range(10)]
    mesh.put("a", "s", state=State.DEAD)
    for request_id, out in asked:
        assert (request_id in mesh.verdicts) == (out.to.node_id == "a")


@pytest.mark.parametrize("change", [{"state": State.SUSPECT}, {"draining": True}, {"queued": 99}])
def test_a_suspect_or_draining_instance_goes_on_with_what_it_has(change: dict[str, object]) -> None:
    mesh = two()
    request_id, out = mesh.asked()
    mesh.put(out.to.node_id, "s", **change)
    assert request_id not in mesh.verdicts
    mesh.reply(out)
    assert mesh.verdicts[request_id].kind is VerdictKind.OK


def test_not_started_from_another_proves_nothing() -> None:
    mesh = two()
    request_id, out = mesh.asked()
    stranger = Target(other(out.to.node_id), 1, "x")
    mesh.receive(stranger, NotStarted(request_id, Reason.NOT_HERE, stranger.node_id))
    assert len(mesh.requests(request_id)) == 1
    mesh.reply(Outgoing(stranger, out.header))
    assert request_id not in mesh.verdicts


def test_a_late_not_started_of_one_that_was_left_proves_nothing_of_the_next() -> None:
    mesh = two()
    mesh.put("c", "s")
    request_id, first = mesh.asked()
    mesh.not_started(first)
    mesh.not_started(first)
    assert len(mesh.requests(request_id)) == 2
    assert request_id not in mesh.verdicts


def test_a_refusal_of_an_earlier_attempt_takes_nothing_back() -> None:
    mesh = two()
    mesh.put("c", "s")
    request_id, first = mesh.asked()
    mesh.refuse(first)
    mesh.refuse(first)
    second = mesh.request(request_id)
    earlier_start = second._replace(to=second.to._replace(instance=99))
    mesh.refuse(earlier_start)
    assert len(mesh.requests(request_id)) == 2


def test_after_its_outcome_nothing_moves_it() -> None:
    mesh = two()
    request_id, out = mesh.asked()
    mesh.reply(out)
    mesh.refuse(out)
    mesh.not_started(out)
    mesh.reply(out)
    mesh.receive(out.to, Beat(out.to.node_id, 1, (request_id,)))
    mesh.put(out.to.node_id, "s", state=State.DEAD)
    mesh.pass_time(100.0)
    assert len(mesh.requests(request_id)) == 1
    assert mesh.verdicts[request_id].kind is VerdictKind.OK


# Within what


def test_no_retry_after_the_deadline() -> None:
    mesh = two()
    request_id, out = mesh.asked(timeout_s=1.0)
    mesh.now += 1.0
    mesh.not_started(out)
    verdict = mesh.verdicts[request_id]
    assert len(mesh.requests(request_id)) == 1
    assert (verdict.kind, verdict.executed, verdict.retryable) == (VerdictKind.DEADLINE, Executed.NO, True)


def test_expired_is_the_deadline_and_not_executed() -> None:
    mesh = two()
    request_id, out = mesh.asked(timeout_s=1.0)
    mesh.not_started(out, Reason.EXPIRED)
    verdict = mesh.verdicts[request_id]
    assert (verdict.kind, verdict.executed) == (VerdictKind.DEADLINE, Executed.NO)
    assert len(mesh.requests(request_id)) == 1


def test_no_more_attempts_than_allowed() -> None:
    mesh = Mesh(limits=RoutingLimits(attempts_max=3))
    for name in "abcdef":
        mesh.put(name, "s")
    request_id = mesh.submit()
    while request_id not in mesh.verdicts:
        mesh.not_started(mesh.request(request_id))
    assert len(mesh.requests(request_id)) == mesh.verdicts[request_id].attempts == 3
    assert mesh.verdicts[request_id].detail.endswith("; 3 attempts are the most")


def test_no_more_retries_than_the_budget() -> None:
    mesh = two(retry_burst=3.0, retry_share=0.0, retry_floor_per_s=0.0)
    for _ in range(10):
        mesh.not_started(mesh.asked()[1])
    requests = [out for out in mesh.sent if isinstance(out.header, Request)]
    assert len(requests) == 10 + 3
    refused = [verdict for verdict in mesh.verdicts.values() if verdict.kind is VerdictKind.BUSY]
    assert len(refused) == 7
    assert all(verdict.detail.endswith("; no retry is left") for verdict in refused)


def test_each_request_pays_into_the_budget() -> None:
    mesh = two(retry_burst=1.0, retry_share=0.5, retry_floor_per_s=0.0)
    for _ in range(10):
        mesh.not_started(mesh.asked()[1])
    assert 5 <= len(mesh.sent) - 10 <= 6


# What is said when nobody is left


def refused_by_all(mesh: Mesh, *reasons: tuple[Reason, int]) -> Verdict:
    request_id = mesh.submit()
    for reason, retry_after_ms in reasons:
        mesh.not_started(mesh.request(request_id), reason, retry_after_ms)
    return mesh.verdicts[request_id]


def test_busy_everywhere_says_when_the_shortest_queue_is_free() -> None:
    verdict = refused_by_all(two(), (Reason.BUSY, 500), (Reason.BUSY, 200))
    assert (verdict.kind, verdict.retry_after_ms, verdict.executed) == (VerdictKind.BUSY, 200, Executed.NO)


def test_busy_says_more_than_draining_and_draining_more_than_gone() -> None:
    assert refused_by_all(two(), (Reason.DRAINING, 0), (Reason.BUSY, 9)).kind is VerdictKind.BUSY
    assert refused_by_all(two(), (Reason.DRAINING, 7), (Reason.NOT_HERE, 0)).kind is VerdictKind.DRAINING
    verdict = refused_by_all(two(), (Reason.NOT_HERE, 0), (Reason.WRONG_INSTANCE, 0))
    assert verdict.kind is VerdictKind.DEAD
    assert "WRONG_INSTANCE" in verdict.detail


def test_none_left_that_can_be_reached() -> None:
    mesh = Mesh("s")
    request_id, out = mesh.asked()
    mesh.refuse(out)
    verdict = mesh.verdicts[request_id]
    assert (verdict.kind, verdict.executed, verdict.attempts) == (VerdictKind.DEAD, Executed.NO, 1)
    assert verdict.detail == "home cannot be reached"


# Fingers and paths after a failure


@pytest.mark.parametrize("proof", [proof for proof in PROOFS if proof != "busy"])
def test_a_failure_drops_the_finger(proof: str) -> None:
    mesh = two()
    _, out = mesh.asked()
    mesh.fingers.clear()
    prove(mesh, out, proof)
    assert mesh.fingers[0].expires_at is None


def test_a_full_queue_does_not_drop_the_finger() -> None:
    mesh = two()
    _, out = mesh.asked()
    mesh.fingers.clear()
    mesh.not_started(out, Reason.BUSY)
    assert mesh.fingers == []


def test_one_that_could_not_be_reached_is_asked_last() -> None:
    mesh = two()
    _, out = mesh.asked()
    mesh.refuse(out)
    assert {mesh.asked()[1].to.node_id for _ in range(20)} == {other(out.to.node_id)}


def test_nothing_of_a_request_is_left_behind() -> None:
    mesh = two()
    for number in range(50):
        request_id, out = mesh.asked(timeout_s=1.0)
        match number % 5:
            case 0:
                mesh.reply(out)
            case 1:
                mesh.refuse(out)
            case 2:
                mesh.not_started(out)
            case 3:
                mesh.router.cancel(RequestId(*request_id), mesh.now)
    mesh.put("a", "s", state=State.DEAD)
    mesh.pass_time(5.0)
    assert len(mesh.verdicts) == 50
    assert mesh.router.in_flight == 0
    for endpoint in mesh.router._directory.endpoints.values():
        assert endpoint.flights == {}
        assert {candidate.in_flight for candidate in endpoint.candidates.values()} == {0}


# Sent again to the same instance


def lose_and_regain(mesh: Mesh, out: Outgoing) -> None:
    mesh.router.link_lost(out.to, mesh.now)
    mesh.pass_time(0.1)
    mesh.router.link_up(out.to, mesh.now)
    mesh.collect()


def test_what_was_under_way_when_the_link_broke_is_sent_again_to_the_same_instance() -> None:
    mesh = two()
    request_id, out = mesh.asked(timeout_s=20.0)
    lose_and_regain(mesh, out)
    first, copy = mesh.requests(request_id)
    assert copy.to == first.to
    assert copy.body == first.body
    assert isinstance(copy.header, Request)
    assert copy.header.attempt == 1
    assert copy.header.remaining_ms == 19_900
    mesh.reply(out)
    assert mesh.verdicts[request_id].kind is VerdictKind.OK
    assert mesh.verdicts[request_id].attempts == 1


def test_it_is_sent_again_once_for_each_break() -> None:
    mesh = two()
    request_id, out = mesh.asked()
    lose_and_regain(mesh, out)
    mesh.router.link_up(out.to, mesh.now)
    mesh.collect()
    assert len(mesh.requests(request_id)) == 2
    lose_and_regain(mesh, out)
    assert len(mesh.requests(request_id)) == 3


def test_what_was_handed_over_after_the_break_waits_for_the_connection_and_is_not_doubled() -> None:
    mesh = Mesh()
    mesh.put("a", "s")
    _, out = mesh.asked()
    mesh.router.link_lost(out.to, mesh.now)
    mesh.pass_time(0.1)
    later, _ = mesh.asked()
    mesh.router.link_up(out.to, mesh.now)
    mesh.collect()
    assert len(mesh.requests(later)) == 1


def test_the_first_connection_repeats_nothing() -> None:
    mesh = two()
    request_id, out = mesh.asked()
    mesh.router.link_up(out.to, mesh.now)
    mesh.collect()
    assert len(mesh.requests(request_id)) == 1


def test_a_refused_copy_does_not_prove_that_the_first_did_not_arrive() -> None:
    mesh = two()
    request_id, out = mesh.asked()
    lose_and_regain(mesh, out)
    mesh.refuse(out)
    assert len(mesh.requests(request_id)) == 2
    assert request_id not in mesh.verdicts


def test_a_copy_that_meets_a_new_start_says_nothing_of_the_old() -> None:
    mesh = two()
    request_id, out = mesh.asked()
    lose_and_regain(mesh, out)
    mesh.not_started(out, Reason.WRONG_INSTANCE)
    verdict = mesh.verdicts[request_id]
    assert (verdict.kind, verdict.executed) == (VerdictKind.LOST, Executed.UNKNOWN)
    assert verdict.detail == f"{out.to.node_id} had it when it restarted"
    assert len(mesh.requests(request_id)) == 2


def test_a_copy_that_is_certainly_not_started_leaves_it_free_again() -> None:
    mesh = two()
    request_id, out = mesh.asked()
    lose_and_regain(mesh, out)
    mesh.not_started(out, Reason.BUSY)
    other = mesh.request(request_id)
    assert other.to.node_id != out.to.node_id
    mesh.refuse(other)
    assert mesh.verdicts[request_id].executed is Executed.NO


def test_a_connection_to_another_start_gets_no_copies() -> None:
    mesh = two()
    request_id, out = mesh.asked()
    mesh.router.link_lost(out.to, mesh.now)
    mesh.router.link_up(out.to._replace(instance=99), mesh.now)
    mesh.collect()
    assert len(mesh.requests(request_id)) == 1


def test_a_copy_sent_in_the_last_moment_is_a_message_that_can_be_read() -> None:
    mesh = two()
    request_id, out = mesh.asked(timeout_s=0.1)
    mesh.router.link_lost(out.to, mesh.now)
    # Past the deadline, before the sweep that ends it.
    mesh.now += 0.12
    mesh.router.link_up(out.to, mesh.now)
    mesh.collect()
    copy = mesh.requests(request_id)[-1]
    assert decode(encode(copy.header, copy.body), FROM_GATEWAY)[0] == copy.header
