"""What the router learns from how requests go: load, latency, failures, and whom it asks more for that."""

import pytest

from tests.unit.routing.mesh import HOME, Mesh
from zmesh.config.limits import RoutingLimits
from zmesh.routing.endpoint import Candidate
from zmesh.routing.router import VerdictKind
from zmesh.wire.request import Outcome, Reason


def of(mesh: Mesh, node_id: str, service: str = "s") -> Candidate:
    return mesh.router._directory.endpoints[node_id].candidates[service]


def test_the_own_requests_spread_over_equals() -> None:
    mesh = Mesh()
    mesh.put("a", "s")
    mesh.put("b", "s")
    nodes = [mesh.asked()[1].to.node_id for _ in range(10)]
    assert nodes.count("a") == nodes.count("b") == 5


def test_a_faster_instance_gets_more() -> None:
    """Closed loop of 32 over two instances with one slot each, one three times slower."""
    mesh = Mesh()
    mesh.put("fast", "s")
    mesh.put("slow", "s")
    took = {"fast": 0.01, "slow": 0.03}
    free_at = dict.fromkeys(took, mesh.now)
    running: list[tuple[float, float, object]] = []
    done = dict.fromkeys(took, 0)
    for _ in range(300):
        while len(running) < 32:
            _, out = mesh.asked()
            start = max(mesh.now, free_at[out.to.node_id])
            free_at[out.to.node_id] = end = start + took[out.to.node_id]
            running.append((end, start - mesh.now, out))
        running.sort(key=lambda one: one[0])
        end, waited, out = running.pop(0)
        mesh.now = max(mesh.now, end)
        mesh.reply(out, queue_us=int(waited * 1e6))
        done[out.to.node_id] += 1
    assert done["slow"] > 20
    assert done["fast"] >= 2 * done["slow"]


def test_wrong_input_does_not_count_against_an_instance_and_failures_do() -> None:
    mesh = Mesh()
    mesh.put("a", "s")
    for outcome, failures in ((Outcome.INVALID, 0.0), (Outcome.OK, 0.0), (Outcome.RAISED, 1.0)):
        mesh.reply(mesh.asked()[1], outcome)
        candidate = mesh.router._directory.endpoints["a"].candidates["s"]
        assert candidate.failures(mesh.now) == failures
        assert candidate.in_flight == 0


@pytest.mark.parametrize("end", ["busy", "refused", "deadline"])
def test_what_an_instance_did_not_do_counts_against_it(end: str) -> None:
    mesh = Mesh()
    mesh.put("a", "s")
    _, out = mesh.asked(timeout_s=1.0)
    if end == "busy":
        mesh.not_started(out)
    elif end == "refused":
        mesh.refuse(out)
    mesh.pass_time(1.5)
    assert mesh.router._directory.endpoints["a"].candidates["s"].failures(mesh.now) > 0.5


def test_the_reply_that_reports_more_waiting_than_time_passed_is_believed_within_reason() -> None:
    mesh = Mesh("s")
    request_id, out = mesh.asked()
    mesh.reply(out, queue_us=10**9, run_us=5)
    assert mesh.verdicts[request_id].timings.net_us == 0
    assert mesh.router._directory.endpoints[HOME].candidates["s"].latency_s == 1e-6


def test_latency_is_run_and_network_time_without_the_waiting() -> None:
    mesh = Mesh("s")
    _, out = mesh.asked()
    mesh.now += 0.5
    mesh.reply(out, queue_us=100_000, run_us=300_000)
    assert of(mesh, HOME).latency_s == pytest.approx(0.4, abs=2e-6)


def test_an_answer_within_the_clocks_grain_is_measured_too() -> None:
    mesh = Mesh("s")
    mesh.reply(mesh.asked()[1])
    assert of(mesh, HOME).latency_s == 1e-6


@pytest.mark.parametrize("end", ["busy", "refused"])
def test_saying_no_at_once_leaves_the_latency(end: str) -> None:
    mesh = Mesh("s")
    of(mesh, HOME).succeeded(0.25)
    _, out = mesh.asked()
    mesh.now += 5.0
    if end == "busy":
        mesh.not_started(out)
    else:
        mesh.refuse(out)
    assert of(mesh, HOME).latency_s == 0.25


def test_a_deadline_missed_makes_it_as_slow_as_the_wait_was() -> None:
    mesh = Mesh("s", limits=RoutingLimits(latency_ewma_weight=0.5))
    of(mesh, HOME).succeeded(0.5)
    mesh.submit(timeout_s=1.5)
    mesh.pass_time(2.0)
    assert of(mesh, HOME).latency_s == pytest.approx(1.0, abs=0.05)


def test_time_alone_allows_retries() -> None:
    mesh = Mesh("s", limits=RoutingLimits(retry_share=0.0, retry_burst=1.0, retry_floor_per_s=1.0))
    mesh.put("a", "s")

    def attempts() -> int:
        request_id, out = mesh.asked()
        mesh.not_started(out)
        mesh.reply(mesh.request(request_id))
        return mesh.verdicts[request_id].attempts

    assert [attempts(), attempts()] == [2, 1]
    mesh.now += 1.0
    assert [attempts(), attempts()] == [2, 1]


def test_when_to_come_back_is_said_of_queues_only() -> None:
    mesh = Mesh("s")
    answered, out = mesh.asked()
    mesh.reply(out)
    draining, out = mesh.asked()
    mesh.not_started(out, Reason.DRAINING, retry_after_ms=300)
    busy, out = mesh.asked()
    mesh.not_started(out, Reason.BUSY, retry_after_ms=300)
    found = [mesh.verdicts[one] for one in (answered, draining, busy)]
    assert [verdict.kind for verdict in found] == [VerdictKind.OK, VerdictKind.DRAINING, VerdictKind.BUSY]
    assert [verdict.retry_after_ms for verdict in found] == [0, 0, 300]
