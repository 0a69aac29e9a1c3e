"""Nodes that die, freeze, come back or are cut off: who is held for dead, how soon, and who must not be."""

from __future__ import annotations

import itertools

import pytest

from tests.unit.membership.cluster import Cluster, mesh
from zmesh.membership.event import IncarnationRaised, MemberChanged
from zmesh.wire.membership import State


def false_deaths(cluster: Cluster, *, of: str) -> int:
    return sum(cluster.states_told(key, node_id).count(State.DEAD) for key in cluster.boxes for node_id in of)


@pytest.mark.parametrize("seed", range(5))
def test_a_killed_node_is_dead_everywhere_soon_and_alive_again_after_a_restart(seed: int) -> None:
    cluster = mesh(seed=seed)
    cluster.run(seed * 0.37)
    cluster.kill("c")
    assert cluster.run_until(lambda: cluster.all_see("c", State.DEAD), 5.0) < 3.5
    cluster.run(3.0)
    before = cluster.boxes["c"].incarnation
    cluster.start("c")
    assert cluster.run_until(lambda: cluster.all_see("c", State.ALIVE), 3.0) < 1.0
    cluster.run_until(cluster.all_equal, 2.0)
    assert cluster.boxes["c"].incarnation > before


@pytest.mark.parametrize("seed", range(5))
def test_a_node_cut_off_without_any_hint_is_dead_within_5_s(seed: int) -> None:
    cluster = mesh(seed=seed)
    cluster.run(seed * 0.41)
    cluster.boxes["c"].is_up = False
    assert cluster.run_until(lambda: cluster.all_see("c", State.DEAD), 5.0) < 4.5


def test_a_quick_restart_is_seen_as_a_new_instance_without_a_death() -> None:
    cluster = mesh()
    before = cluster.boxes["c"].peer.identity.instance
    cluster.kill("c")
    cluster.run(0.2)
    cluster.start("c")
    cluster.run(2.0)
    for key in "ab":
        member = cluster.boxes[key].peer.members.get("c")
        assert member is not None
        assert member.instance != before
        assert State.DEAD not in cluster.states_told(key, "c")


@pytest.mark.parametrize("size", [3, 5])
def test_nobody_is_held_for_dead_because_messages_are_lost(size: int) -> None:
    cluster = mesh(size, seed=size, loss=0.05)
    cluster.run(120.0)
    assert false_deaths(cluster, of="abc") == 0


def test_a_frozen_node_refutes_its_death_and_blames_nobody_else() -> None:
    cluster = mesh()
    cluster.boxes["c"].is_frozen = True
    cluster.run_until(lambda: cluster.all_see("c", State.DEAD, among=("a", "b")), 5.0)
    cluster.run(20.0)
    before = cluster.boxes["c"].incarnation
    cluster.thaw("c")
    assert cluster.run_until(lambda: cluster.all_see("c", State.ALIVE), 3.0) < 1.0
    cluster.run_until(cluster.all_equal, 2.0)
    assert cluster.boxes["c"].incarnation > before
    assert cluster.told("c", IncarnationRaised)[-1] == IncarnationRaised(cluster.boxes["c"].incarnation)
    assert set(cluster.states_told("c", "a")) == set(cluster.states_told("c", "b")) == {State.ALIVE}


@pytest.mark.parametrize("seed", range(3))
def test_the_parts_of_a_divided_mesh_find_each_other_and_nobody_dies_of_it(seed: int) -> None:
    cluster = mesh(5, seed=seed)
    left, right = ("a", "b"), ("c", "n03", "n04")
    cuts = {pair for one in left for other in right for pair in ((one, other), (other, one))}
    cluster.cuts = cuts
    cluster.run_until(lambda: cluster.all_see("a", State.DEAD, among=right), 20.0, 0.1)
    cluster.run_until(lambda: all(cluster.all_see(node_id, State.DEAD, among=left) for node_id in right), 20.0, 0.1)
    told = {key: len(cluster.boxes[key].events) for key in cluster.boxes}
    cluster.cuts = set()
    cluster.run_until(cluster.all_equal, 40.0, 0.1)
    everybody = [*left, *right]
    assert all(cluster.all_see(node_id, State.ALIVE) for node_id in everybody)
    for side in (left, right):
        for key, node_id in itertools.product(side, side):
            later = [event for _, event in cluster.boxes[key].events[told[key] :] if isinstance(event, MemberChanged)]
            states = {event.view.state for event in later if event.view.node_id == node_id}
            assert State.DEAD not in states, (key, node_id)
