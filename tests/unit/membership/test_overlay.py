"""Whom to subscribe to: all in a small mesh; in a big one a few, such that news still reaches everybody."""

from __future__ import annotations

import msgspec
import pytest

from tests.unit.membership.parts import LIMITS
from zmesh.membership.overlay import Overlay


def ids(count: int) -> list[str]:
    return [f"node-{number:04}" for number in range(count)]


def subscriptions(nodes: list[str]) -> dict[str, frozenset[str]]:
    return {node: Overlay(node, LIMITS).neighbours([other for other in nodes if other != node]) for node in nodes}


def reached(publisher: str, heard_by: dict[str, frozenset[str]], without: frozenset[str] = frozenset()) -> set[str]:
    """Who hears of news from ``publisher`` when everybody relays."""
    reached, fresh = {publisher}, [publisher]
    while fresh:
        source = fresh.pop()
        for node, neighbours in heard_by.items():
            if source in neighbours and node not in reached and node not in without:
                reached.add(node)
                fresh.append(node)
    return reached


def test_a_small_mesh_hears_everybody_and_relays_nothing() -> None:
    overlay = Overlay("a", LIMITS)
    others = ids(LIMITS.full_mesh_max - 1)
    assert overlay.neighbours(others) == frozenset(others)
    assert not overlay.relaying


def test_the_mode_does_not_flap_at_the_edge() -> None:
    overlay = Overlay("a", LIMITS)
    overlay.neighbours(ids(LIMITS.full_mesh_max))
    assert overlay.relaying
    assert len(overlay.neighbours(ids(LIMITS.full_mesh_return - 1))) == LIMITS.overlay_degree
    assert overlay.relaying
    overlay.neighbours(ids(LIMITS.full_mesh_return - 2))
    assert not overlay.relaying


@pytest.mark.parametrize("count", [17, 60, 250])
def test_news_reaches_everybody_also_past_some_deaths(count: int) -> None:
    nodes = ids(count)
    heard_by = subscriptions(nodes)
    assert all(len(neighbours) == LIMITS.overlay_degree for neighbours in heard_by.values())
    assert reached(nodes[0], heard_by) == set(nodes)
    dead = frozenset(nodes[1:3])
    assert reached(nodes[0], heard_by, dead) == set(nodes) - dead


def test_the_ring_alone_connects() -> None:
    nodes = ids(50)
    ring = LIMITS.overlay_ring
    heard_by = {
        node: Overlay(node, type(LIMITS)(overlay_degree=ring)).neighbours([other for other in nodes if other != node])
        for node in nodes
    }
    assert reached(nodes[7], heard_by) == set(nodes)


def test_one_more_member_changes_little() -> None:
    before, after = subscriptions(ids(60)), subscriptions(ids(61))
    changed = sum(len(before[node] - after[node]) for node in before)
    assert changed <= 3 * LIMITS.overlay_degree


def test_the_choice_depends_on_ids_alone() -> None:
    nodes = ids(40)
    assert Overlay("a", LIMITS).neighbours(nodes) == Overlay("a", LIMITS).neighbours(nodes[::-1])
    assert Overlay("a", LIMITS).neighbours(nodes) != Overlay("b", LIMITS).neighbours(nodes)


def test_the_ring_alone_joins_everybody() -> None:
    limits = msgspec.structs.replace(LIMITS, full_mesh_max=3, overlay_ring=1, overlay_degree=1)
    nodes = ids(60)
    next_of = {node: Overlay(node, limits).neighbours([other for other in nodes if other != node]) for node in nodes}
    assert sorted(node for chosen in next_of.values() for node in chosen) == nodes
    assert all(reached(node, next_of) == set(nodes) for node in nodes)


def test_every_version_makes_the_same_choice() -> None:
    """Written down, so that nodes of two releases stand on one ring."""
    limits = msgspec.structs.replace(LIMITS, full_mesh_max=3, overlay_ring=2, overlay_degree=4)
    assert Overlay("node-0000", limits).neighbours(ids(20)[1:]) == {"node-0004", "node-0010", "node-0012", "node-0015"}
