"""Router: the own node, whose death nobody else would tell, is given up when its connection does not come back."""

from tests.unit.routing.mesh import HOME, Mesh
from zmesh.routing.target import LOCAL, Target
from zmesh.routing.verdict import VerdictKind
from zmesh.wire.request import Executed, NotStarted, Reason

SHELLS = Target(HOME, 0, "", LOCAL)
"""The own node as a shell names it, which knows no instance."""


def test_what_a_vanished_own_node_had_ends_when_its_connection_does_not_come_back() -> None:
    mesh = Mesh("s")
    request_id, _ = mesh.asked(timeout_s=20.0)
    mesh.router.link_lost(SHELLS, mesh.now)
    mesh.pass_time(0.9)
    assert request_id not in mesh.verdicts
    mesh.pass_time(0.2)
    verdict = mesh.verdicts[request_id]
    assert (verdict.kind, verdict.executed, verdict.retryable) == (VerdictKind.LOST, Executed.UNKNOWN, False)
    assert HOME in verdict.detail
    assert len(mesh.requests(request_id)) == 1


def test_an_own_node_that_is_back_in_time_keeps_what_it_had() -> None:
    mesh = Mesh("s")
    request_id, _ = mesh.asked(timeout_s=20.0)
    mesh.router.link_lost(SHELLS, mesh.now)
    mesh.pass_time(0.9)
    mesh.router.link_up(SHELLS, mesh.now)
    mesh.pass_time(10.0)
    assert request_id not in mesh.verdicts


def test_what_was_under_way_is_repeated_to_an_own_node_that_is_back() -> None:
    mesh = Mesh("s")
    request_id, out = mesh.asked(timeout_s=20.0)
    mesh.router.link_lost(SHELLS, mesh.now)
    mesh.pass_time(0.1)
    mesh.router.link_up(SHELLS, mesh.now)
    mesh.collect()
    _, again = mesh.requests(request_id)
    assert again.to == out.to
    mesh.reply(again)
    assert mesh.verdicts[request_id].kind is VerdictKind.OK


def test_a_later_start_of_the_own_node_refuses_the_repeated_request_and_that_is_its_end() -> None:
    mesh = Mesh("s")
    request_id, _ = mesh.asked(timeout_s=20.0)
    mesh.router.link_lost(SHELLS, mesh.now)
    mesh.router.link_up(SHELLS, mesh.now)
    mesh.receive(SHELLS, NotStarted(request_id, Reason.WRONG_INSTANCE))
    verdict = mesh.verdicts[request_id]
    assert (verdict.kind, verdict.executed) == (VerdictKind.LOST, Executed.UNKNOWN)


def test_another_box_is_not_given_up_by_its_connection() -> None:
    mesh = Mesh()
    mesh.put("a", "s")
    request_id, out = mesh.asked(timeout_s=20.0)
    mesh.router.link_lost(out.to, mesh.now)
    mesh.pass_time(10.0)
    assert request_id not in mesh.verdicts


def test_what_came_after_the_own_nodes_connection_broke_is_the_shells_to_refuse() -> None:
    mesh = Mesh("s")
    mesh.asked(timeout_s=20.0)
    mesh.router.link_lost(SHELLS, mesh.now)
    mesh.pass_time(0.1)
    later, _ = mesh.asked(timeout_s=20.0)
    mesh.pass_time(2.0)
    assert later not in mesh.verdicts


def test_a_new_start_of_the_own_node_keeps_what_it_was_given() -> None:
    mesh = Mesh("s")
    request_id, _ = mesh.asked()
    mesh.router.link_lost(SHELLS, mesh.now)
    mesh.put(HOME, "s", instance=2)
    assert mesh.verdicts[request_id].kind is VerdictKind.LOST
    later, _ = mesh.asked()
    mesh.pass_time(2.0)
    assert later not in mesh.verdicts


def test_an_own_node_that_the_mesh_forgot_meanwhile_has_nothing_left_to_end() -> None:
    mesh = Mesh("s")
    request_id, _ = mesh.asked()
    mesh.router.link_lost(SHELLS, mesh.now)
    mesh.remove(HOME)
    mesh.pass_time(2.0)
    assert mesh.verdicts[request_id].kind is VerdictKind.LOST
