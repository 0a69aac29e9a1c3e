"""Balancer: power of two choices over the wait to expect; suspects last, tried ones never."""

import random
from collections import Counter

import pytest

from zmesh.config.limits import RoutingLimits
from zmesh.routing.balancer import choose, rank
from zmesh.routing.endpoint import Candidate, Endpoint
from zmesh.routing.target import Target

LIMITS = RoutingLimits()


def candidates(count: int) -> list[Candidate]:
    return [Candidate(Endpoint(Target(f"n{number}", 1, "x")), LIMITS) for number in range(count)]


def shares(found: list[Candidate], rounds: int = 2000, tried: tuple[Endpoint, ...] = ()) -> Counter[str]:
    rng = random.Random(1)
    chosen = (choose(found, tried, 0.0, rng) for _ in range(rounds))
    return Counter(one.endpoint.node_id for one in chosen if one is not None)


def test_nobody_and_one() -> None:
    rng = random.Random(1)
    assert choose([], (), 0.0, rng) is None
    (only,) = candidates(1)
    assert choose([only], (), 0.0, rng) is only
    only.endpoint.suspect_until = 1.0
    assert choose([only], (), 0.0, rng) is only
    assert choose([only], {only.endpoint}, 0.0, rng) is None


@pytest.mark.parametrize("count", [2, 3, 8])
def test_equals_share_equally(count: int) -> None:
    found = shares(candidates(count), 4000)
    assert len(found) == count
    assert max(found.values()) < 1.3 * min(found.values())


def test_of_two_the_one_with_the_shorter_queue() -> None:
    found = candidates(2)
    found[0].in_flight = 1
    assert shares(found) == {"n1": 2000}
    found[0].slots = 4
    assert shares(found) == {"n0": 2000}


def test_of_many_the_worst_is_never_and_the_best_most_often() -> None:
    found = candidates(5)
    for number, one in enumerate(found):
        one.others = number
    counted = shares(found)
    assert "n4" not in counted
    assert counted.most_common(1)[0][0] == "n0"
    assert counted["n1"] > 0


def test_every_pair_is_drawn_as_often_as_any_other() -> None:
    found = candidates(4)
    for number, one in enumerate(found):
        one.others = number
    counted = shares(found, 6000)
    assert [counted[f"n{number}"] / 1000 for number in range(4)] == pytest.approx([3, 2, 1, 0], abs=0.15)


def test_the_queue_weighs_by_the_time_a_request_takes() -> None:
    found = candidates(2)
    found[0].latency_s, found[1].latency_s = 0.1, 0.3
    found[0].in_flight = 1
    assert shares(found) == {"n0": 2000}
    found[0].in_flight = 3
    assert shares(found) == {"n1": 2000}


def test_without_a_latency_on_both_sides_only_queues_are_compared() -> None:
    found = candidates(2)
    found[0].latency_s = 100.0
    found[1].in_flight = 1
    assert shares(found) == {"n0": 2000}
    assert shares(found[::-1]) == {"n0": 2000}


def test_a_suspect_path_is_taken_only_when_there_is_no_other() -> None:
    found = candidates(4)
    for one in found[1:]:
        one.endpoint.suspect_until = 1.0
    found[0].in_flight = 1000
    assert shares(found) == {"n0": 2000}
    found[0].endpoint.suspect_until = 1.0
    found[0].in_flight = 0
    assert len(shares(found)) == 4


def test_suspicion_is_over_at_its_time() -> None:
    found = candidates(2)
    found[0].endpoint.suspect_until = 1.0
    found[1].in_flight = 1
    rng = random.Random(1)
    assert choose(found, (), 0.9, rng) is found[1]
    assert choose(found, (), 1.0, rng) is found[0]


def test_those_tried_are_never_taken_again() -> None:
    found = candidates(4)
    tried = (found[0].endpoint, found[1].endpoint)
    assert set(shares(found, tried=tried)) == {"n2", "n3"}
    found[3].endpoint.suspect_until = 1.0
    assert set(shares(found, tried=tried)) == {"n2"}
    assert shares(found, tried=tuple(one.endpoint for one in found)) == {}


def test_between_the_last_two_left_equals_share_equally() -> None:
    found = candidates(3)
    counted = shares(found, tried=(found[0].endpoint,))
    assert abs(counted["n1"] - counted["n2"]) < 200
    found[1].in_flight = 1
    assert set(shares(found, tried=(found[0].endpoint,))) == {"n2"}


def test_of_more_than_two_left_the_better_of_two_drawn() -> None:
    found = candidates(4)
    found[1].in_flight = 1
    counted = shares(found, 3000, tried=(found[0].endpoint,))
    assert [counted[f"n{number}"] / 1000 for number in range(4)] == pytest.approx([0, 0, 1.5, 1.5], abs=0.15)


def test_a_failing_instance_beside_a_loaded_one_gets_little() -> None:
    """Closed loop of 32: one takes 100 ms, the other fails at once and has always an empty queue."""
    good, bad = found = candidates(2)
    rng = random.Random(1)
    now, done = 0.0, Counter[str]()
    good_until: list[float] = []
    while now < 30.0:
        while len(good_until) < 32:
            one = choose(found, (), now, rng)
            if one is bad:
                bad.failed(0.001, now)
                done["bad"] += 1
                break
            good.in_flight += 1
            good_until.append(max([now, *good_until]) + 0.1)
        now += 0.01
        for end in [end for end in good_until if end <= now]:
            good_until.remove(end)
            good.in_flight -= 1
            good.succeeded(0.1)
            done["good"] += 1
    assert done["bad"] < 0.15 * done["good"]


def test_ranked_best_first_suspects_last() -> None:
    found = candidates(4)
    found[0].in_flight = 5
    found[1].in_flight = 1
    found[2].in_flight = 3
    found[3].endpoint.suspect_until = 1.0
    assert [one.endpoint.node_id for one in rank(found, 0.0, random.Random(1))] == ["n1", "n2", "n0", "n3"]


def test_ranking_takes_the_usual_latency_for_one_not_measured() -> None:
    found = candidates(3)
    found[0].latency_s, found[1].latency_s = 0.1, 0.3
    assert [one.endpoint.node_id for one in rank(found, 0.0, random.Random(1))] == ["n0", "n2", "n1"]


def test_ranking_counts_failures_that_have_not_faded() -> None:
    found = candidates(2)
    found[0].failed(0.0, 0.0)
    found[1].in_flight = 1
    for now, first in ((0.0, "n1"), (1000.0, "n0")):
        assert rank(found, now, random.Random(1))[0].endpoint.node_id == first


def test_equals_are_ranked_at_random() -> None:
    found = candidates(10)
    orders = {tuple(one.endpoint.node_id for one in rank(found, 0.0, random.Random(seed))) for seed in range(5)}
    assert len(orders) == 5
