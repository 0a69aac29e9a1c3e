"""Named stories that any change of membership, routing or dispatch must keep true, told with the simulator's parts."""

from __future__ import annotations

from tests.simulation.box import Box
from tests.simulation.gateway import Gateway
from tests.simulation.node import Node
from tests.simulation.plan import BoxPlan, Plan, Service
from tests.simulation.world import World
from zmesh.config.limits import DispatchLimits, MembershipLimits, RoutingLimits
from zmesh.routing.router import Verdict, VerdictKind
from zmesh.wire.membership import State
from zmesh.wire.request import Executed, RequestId

A, B, C = "box-a", "box-b", "box-c"

ECHO = Service(
    name="echo",
    runners=1,
    slots=1,
    blocking=False,
    run_s=0.2,
    queue_length_max=2,
    timeout_ms=0,
    invalid_share=0.0,
    raise_share=0.0,
    json_only=False,
)


def mesh(*offering: str) -> World:
    """Three boxes, of which A is the seed and has none itself; nothing is wrong, and all know each other."""
    world = World(
        1,
        Plan(
            boxes=tuple(
                BoxPlan(name, 1, (ECHO,) if name in offering else (), () if name == A else (A,), launches=True)
                for name in (A, B, C)
            ),
            services=("echo",),
            membership=MembershipLimits(),
            routing=RoutingLimits(),
            dispatch=DispatchLimits(),
            spill_over_queue=8,
            timeout_default_s=5.0,
            requests_per_s=1.0,
            cancel_share=0.0,
            start_spread_s=0.0,
            trouble_s=0.0,
            fault_interval_s=1.0,
            fault_share=0.0,
            calm_s=0.0,
        ),
    )
    world.start()
    world.step_for(3.0)
    assert world.invariants.unsettled() == []
    return world


def node(box: Box) -> Node:
    assert box.live_node is not None
    return box.live_node


def gateway(box: Box) -> Gateway:
    return box.live_gateways[0]


def ask(world: World, box: str) -> RequestId:
    return gateway(world.boxes[box]).submit("echo", b"hello", 3.0)


def verdict(world: World, request_id: RequestId) -> Verdict:
    found = world.ledger.entries[request_id].verdict
    assert found is not None
    return found


def state_of(world: World, accused: str, observer: str) -> State:
    member = node(world.boxes[observer]).peer.members.get(accused)
    assert member is not None
    return member.state


def test_a_restarted_seed_without_seeds_is_found_again() -> None:
    world = mesh(B)
    world.boxes[A].crash_node()
    world.step_for(0.2)
    world.boxes[A].start_node()
    world.step_for(2.0)
    assert world.invariants.unsettled() == []
    assert node(world.boxes[A]).peer.members.own.incarnation > 1


def test_a_dead_node_is_found_dead_and_its_only_service_said_to_be() -> None:
    world = mesh(C)
    world.boxes[C].crash()
    world.step_for(5.0)
    assert {state_of(world, C, A), state_of(world, C, B)} == {State.DEAD}
    answer = verdict(world, ask(world, A))
    assert (answer.kind, answer.executed) == (VerdictKind.DEAD, Executed.NO)


def test_a_cut_one_way_between_two_kills_nobody_while_a_third_hears_both() -> None:
    world = mesh(B)
    world.network.cut(A, B)
    world.step_for(20.0)
    assert {state_of(world, A, C), state_of(world, B, C)} == {State.ALIVE}
    world.network.mend(A, B)
    world.step_for(5.0)
    assert world.invariants.unsettled() == []


def test_a_node_frozen_for_a_moment_refutes_what_was_said_of_it() -> None:
    world = mesh(B)
    frozen = node(world.boxes[C])
    frozen.freeze()
    world.step_for(2.0)
    assert state_of(world, C, A) is State.SUSPECT
    frozen.thaw()
    world.step_for(3.0)
    assert state_of(world, C, A) is State.ALIVE
    assert frozen.peer.members.own.incarnation == 2


def test_a_request_refused_by_a_busy_node_is_answered_by_another() -> None:
    world = mesh(B, C)
    asked = [ask(world, A) for _ in range(6)]
    world.step_for(3.0)
    assert {verdict(world, request_id).kind for request_id in asked} == {VerdictKind.OK}
    assert {verdict(world, request_id).node_id for request_id in asked} == {B, C}


def test_a_runner_killed_in_the_middle_fails_its_request_at_once_and_the_next_succeeds() -> None:
    world = mesh(B)
    request_id = ask(world, A)
    world.step_for(0.05)
    (runner,) = world.boxes[B].live_runners(ECHO)
    runner.kill()
    world.step_for(0.05)
    answer = verdict(world, request_id)
    assert (answer.kind, answer.executed) == (VerdictKind.LOST, Executed.UNKNOWN)
    world.step_for(2.0)
    again = ask(world, A)
    world.step_for(1.0)
    assert verdict(world, again).kind is VerdictKind.OK


def test_work_of_a_gateway_that_died_is_cancelled() -> None:
    world = mesh(B)
    ask(world, A)
    world.step_for(0.05)
    gateway(world.boxes[A]).kill()
    world.step_for(1.5)
    assert node(world.boxes[B]).dispatcher._executions.unfinished == 0


def test_a_request_outlives_the_connection_it_was_sent_on() -> None:
    world = mesh(B)
    request_id = ask(world, A)
    world.step_for(0.05)
    (connection,) = [
        connection
        for connection in world.network.connections
        if connection.dealer.process is gateway(world.boxes[A]) and connection.router.process is world.boxes[B].node
    ]
    connection.break_()
    world.step_for(1.5)
    assert verdict(world, request_id).kind is VerdictKind.OK


def test_a_gateway_keeps_asking_others_while_its_own_node_restarts() -> None:
    world = mesh(B)
    world.boxes[A].crash_node()
    request_id = ask(world, A)
    world.step_for(1.0)
    assert verdict(world, request_id).kind is VerdictKind.OK
    world.boxes[A].start_node()
    world.step_for(3.0)
    assert world.invariants.unsettled() == []
