"""Fingers: trusted for their time, dropped at once with a node in them, bounded."""

from zmesh.config.limits import RoutingLimits
from zmesh.routing.endpoint import Candidate, Endpoint
from zmesh.routing.fingers import Fingers
from zmesh.routing.target import Target


def nodes(*names: str) -> tuple[Candidate, ...]:
    return tuple(Candidate(Endpoint(Target(name, 1, "x")), RoutingLimits()) for name in names)


def test_a_finger_is_trusted_for_its_time() -> None:
    fingers = Fingers(RoutingLimits(finger_ttl_s=60.0))
    found = nodes("a", "b")
    fingers.put("s", found, 100.0)
    finger = fingers.get("s", 159.9)
    assert finger is not None
    assert finger.candidates == found
    assert fingers.get("other", 100.0) is None
    assert fingers.get("s", 160.0) is None
    assert len(fingers) == 0
    assert fingers.take_changes() == [("s", 160.0), ("s", None)]
    assert fingers.take_changes() == []


def test_a_short_time_is_a_time_too() -> None:
    fingers = Fingers(RoutingLimits(finger_ttl_s=0.5))
    fingers.put("s", nodes("a"), 100.0)
    assert fingers.get("s", 100.25) is not None


def test_a_look_up_replaces_the_finger_and_its_time() -> None:
    fingers = Fingers(RoutingLimits(finger_ttl_s=60.0))
    fingers.put("s", nodes("a"), 100.0)
    fingers.put("s", nodes("b"), 110.0)
    fingers.drop_node("a")
    assert fingers.get("s", 169.0) is not None
    assert fingers.take_changes() == [("s", 160.0), ("s", None), ("s", 170.0)]


def test_nothing_is_remembered_of_nobody_or_without_a_ttl() -> None:
    fingers = Fingers(RoutingLimits(finger_ttl_s=60.0))
    fingers.put("s", (), 100.0)
    none_kept = Fingers(RoutingLimits(finger_ttl_s=0.0))
    none_kept.put("s", nodes("a"), 100.0)
    assert len(fingers) == len(none_kept) == 0
    assert fingers.take_changes() == none_kept.take_changes() == []


def test_a_node_takes_all_its_fingers_along() -> None:
    fingers = Fingers(RoutingLimits())
    fingers.put("s", nodes("a", "b"), 100.0)
    fingers.put("t", nodes("b"), 100.0)
    fingers.put("u", nodes("c"), 100.0)
    fingers.drop_node("b")
    fingers.drop_node("b")
    fingers.drop_node("never")
    assert fingers.get("s", 100.0) is None
    assert fingers.get("t", 100.0) is None
    assert fingers.get("u", 100.0) is not None


def test_a_node_that_withdraws_a_service_loses_only_that_finger() -> None:
    fingers = Fingers(RoutingLimits())
    fingers.put("s", nodes("a"), 100.0)
    fingers.put("t", nodes("a"), 100.0)
    fingers.drop_node_except("a", {"t", "other"})
    assert fingers.get("s", 100.0) is None
    assert fingers.get("t", 100.0) is not None


def test_a_finger_that_lacks_an_owner_goes_unless_it_is_full() -> None:
    fingers = Fingers(RoutingLimits(candidates_per_finger_max=2))
    fingers.put("s", nodes("a"), 100.0)
    fingers.put("full", nodes("a", "b"), 100.0)
    fingers.drop_without("s", "a")
    fingers.drop_without("unknown", "a")
    fingers.drop_without("full", "c")
    assert len(fingers) == 2
    fingers.drop_without("s", "c")
    assert fingers.get("s", 100.0) is None


def test_the_one_idle_longest_goes_first() -> None:
    fingers = Fingers(RoutingLimits(finger_services_max=2))
    fingers.put("s", nodes("a"), 100.0)
    fingers.put("t", nodes("a"), 101.0)
    assert fingers.get("s", 102.0) is not None
    fingers.put("u", nodes("a"), 103.0)
    assert len(fingers) == 2
    assert fingers.get("t", 103.0) is None
    assert fingers.get("s", 103.0) is not None
    assert fingers.get("u", 103.0) is not None


def test_no_trace_is_left_of_what_was_dropped() -> None:
    fingers = Fingers(RoutingLimits(finger_services_max=10))
    for number in range(1000):
        fingers.put(f"s-{number}", nodes(f"n-{number}", "common-owner"), 100.0)
    assert len(fingers) == 10
    assert len(fingers._services) == 11
