"""RetryBudget: a share of traffic, a floor over time, and no more saved up than the burst."""

from zmesh.config.limits import RoutingLimits
from zmesh.routing.retry import RetryBudget


def drained(share: float = 0.2, floor: float = 10.0, burst: float = 5.0) -> RetryBudget:
    budget = RetryBudget(RoutingLimits(retry_share=share, retry_floor_per_s=floor, retry_burst=burst))
    while budget.withdraw(0.0):
        pass
    return budget


def granted(budget: RetryBudget, now: float) -> int:
    count = 0
    while budget.withdraw(now):
        count += 1
    return count


def test_it_starts_with_its_burst() -> None:
    assert granted(RetryBudget(RoutingLimits(retry_burst=5.0)), 0.0) == 5


def test_traffic_before_the_first_retry_saves_up_no_more_than_the_burst() -> None:
    budget = RetryBudget(RoutingLimits(retry_burst=5.0))
    for _ in range(1000):
        budget.deposit()
    assert granted(budget, 0.0) == 5


def test_a_share_of_requests_may_be_retried() -> None:
    budget = drained(burst=100.0)
    for _ in range(100):
        budget.deposit()
    assert 19 <= granted(budget, 0.0) <= 20


def test_so_many_a_second_may_be_retried_without_traffic() -> None:
    budget = drained()
    assert granted(budget, 0.3) == 3
    assert granted(budget, 0.3) == 0


def test_no_more_than_the_burst_is_saved_up() -> None:
    budget = drained()
    for _ in range(1000):
        budget.deposit()
    assert granted(budget, 1000.0) == 5


def test_over_any_time_the_promise_holds() -> None:
    budget = drained()
    retries = requests = 0
    for step in range(1, 1001):
        now = step * 0.01
        budget.deposit()
        requests += 1
        retries += budget.withdraw(now)
    assert retries <= 5 + 0.2 * requests + 10.0 * 10.0
    assert retries >= 0.2 * requests + 10.0 * 10.0 - 2
