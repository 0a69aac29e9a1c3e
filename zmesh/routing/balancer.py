"""Which of several candidates gets a request: power of two choices (Mitzenmacher 2001) over the wait to expect.

Decides nothing about who is a candidate. Two drawn at random and the better of them taken spreads load almost as well
as asking all, without every gateway running after the same idle node.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from random import Random

from zmesh.routing.endpoint import Candidate, Endpoint

__all__ = ["choose", "rank"]


def choose(candidates: Sequence[Candidate], tried: Collection[Endpoint], now: float, rng: Random) -> Candidate | None:
    """One candidate; those on a suspect path only when there is no other, those ``tried`` never. None: nobody left."""
    count = len(candidates)
    if count == 1:
        only = candidates[0]
        return None if only.endpoint in tried else only
    if count == 0:
        return None
    first = int(rng.random() * count)
    second = int(rng.random() * (count - 1))
    if second >= first:
        second += 1
    one, other = candidates[first], candidates[second]
    if tried or one.endpoint.suspect_until > now or other.endpoint.suspect_until > now:
        return _choose_narrowed(candidates, tried, now, rng)
    return _better(one, other, now)


def rank(candidates: list[Candidate], now: float, rng: Random) -> list[Candidate]:
    """The candidates, best first; equals in random order, so that gateways do not all keep the same ones."""
    latencies = [candidate.latency_s for candidate in candidates if candidate.latency_s]
    usual_s = sum(latencies) / len(latencies) if latencies else 1.0
    keys = {
        id(candidate): (
            candidate.endpoint.suspect_until > now,
            candidate.cost(now) * (candidate.latency_s or usual_s),
            rng.random(),
        )
        for candidate in candidates
    }
    return sorted(candidates, key=lambda candidate: keys[id(candidate)])


def _choose_narrowed(
    candidates: Sequence[Candidate], tried: Collection[Endpoint], now: float, rng: Random
) -> Candidate | None:
    """The same among those not tried, and of these among those whose path is good, if there are any."""
    left = [candidate for candidate in candidates if candidate.endpoint not in tried]
    good = [candidate for candidate in left if candidate.endpoint.suspect_until <= now]
    pair = good or left
    if len(pair) > 2:
        pair = rng.sample(pair, 2)
    elif len(pair) == 2 and rng.random() < 0.5:
        pair.reverse()
    if len(pair) < 2:
        return pair[0] if pair else None
    one, other = pair
    return _better(one, other, now)


def _better(one: Candidate, other: Candidate, now: float) -> Candidate:
    """Where a request would wait less; without a latency measured on both sides only the queues are compared."""
    ones, others = one.cost(now), other.cost(now)
    if one.latency_s and other.latency_s:
        ones *= one.latency_s
        others *= other.latency_s
    return one if ones <= others else other
