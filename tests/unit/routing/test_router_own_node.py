"""Router: the own node, whose death nobody else would tell, is given up when its connection does not come back."""

from tests.unit.routing.mesh import HOME, Mesh
from zmesh.routing.verdict import VerdictKind
from zmesh.wire.request import Executed


def test_what_a_vanished_own_node_had_ends_when_its_connection_does_not_come_back() -> None:
    mesh = Mesh("s")
    request_id, out = mesh.asked(timeout_s=20.0)
    mesh.router.link_lost(out.to, mesh.now)
    mesh.pass_time(0.9)
    assert request_id not in mesh.verdicts
    mesh.pass_time(0.2)
    verdict = mesh.verdicts[request_id]
    assert (verdict.kind, verdict.executed, verdict.retryable) == (VerdictKind.LOST, Executed.UNKNOWN, False)
    assert HOME in verdict.detail
    assert len(mesh.requests(request_id)) == 1


def test_an_own_node_that_is_back_in_time_keeps_what_it_had() -> None:
    mesh = Mesh("s")
    request_id, out = mesh.asked(timeout_s=20.0)
    mesh.router.link_lost(out.to, mesh.now)
    mesh.pass_time(0.9)
    mesh.router.link_up(out.to, mesh.now)
    mesh.pass_time(10.0)
    assert request_id not in mesh.verdicts


def test_another_box_is_not_given_up_by_its_connection() -> None:
    mesh = Mesh()
    mesh.put("a", "s")
    request_id, out = mesh.asked(timeout_s=20.0)
    mesh.router.link_lost(out.to, mesh.now)
    mesh.pass_time(10.0)
    assert request_id not in mesh.verdicts


def test_what_came_after_the_own_nodes_connection_broke_is_the_shells_to_refuse() -> None:
    mesh = Mesh("s")
    _, out = mesh.asked(timeout_s=20.0)
    mesh.router.link_lost(out.to, mesh.now)
    mesh.pass_time(0.1)
    later, _ = mesh.asked(timeout_s=20.0)
    mesh.pass_time(2.0)
    assert later not in mesh.verdicts


def test_a_new_start_of_the_own_node_keeps_what_it_was_given() -> None:
    mesh = Mesh("s")
    request_id, out = mesh.asked()
    mesh.router.link_lost(out.to, mesh.now)
    mesh.put(HOME, "s", instance=2)
    assert mesh.verdicts[request_id].kind is VerdictKind.LOST
    later, _ = mesh.asked()
    mesh.pass_time(2.0)
    assert later not in mesh.verdicts


def test_an_own_node_that_the_mesh_forgot_meanwhile_has_nothing_left_to_end() -> None:
    mesh = Mesh("s")
    request_id, out = mesh.asked()
    mesh.router.link_lost(out.to, mesh.now)
    mesh.remove(HOME)
    mesh.pass_time(2.0)
    assert mesh.verdicts[request_id].kind is VerdictKind.LOST
