"""Lifeguard's local health stays within its bounds."""

from zmesh.membership.health import LocalHealth


def test_score_is_bounded_on_both_sides() -> None:
    health = LocalHealth(3)
    assert health.multiplier == 1
    health.note(-1)
    assert health.score == 0
    for _ in range(5):
        health.note(+2)
    assert (health.score, health.multiplier) == (3, 4)
    health.note(-1)
    assert health.multiplier == 3
