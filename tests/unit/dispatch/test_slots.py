"""Pools of runners: who is next, and that slots come back by answers alone."""

from zmesh.dispatch.execution import Execution
from zmesh.dispatch.slots import Pool, Runner, Runners
from zmesh.wire.request import Ready


def work(serial: int) -> Execution:
    return Execution((9, serial), "ocr", 0.0, 60.0)


def attach(
    runners: Runners, pool: Pool, route: str, number: int, slots: int = 1, types: tuple[str, ...] = ()
) -> Runner:
    return runners.attach(Ready("ocr", number, slots, 11, 0, types), route, pool, 0.0)


def test_the_least_recently_used_free_runner_is_taken():
    runners, pool = Runners(), Pool()
    second = attach(runners, pool, "r2", 2)
    first = attach(runners, pool, "r1", 1)
    assert pool.take(work(1)) is first
    assert pool.take(work(2)) is second
    assert not pool.free
    pool.give_back(second, (9, 2))
    pool.give_back(first, (9, 1))
    assert pool.take(work(3)) is second


def test_a_runner_with_several_slots_goes_to_the_end_each_time():
    runners, pool = Runners(), Pool()
    second = attach(runners, pool, "r2", 2, slots=2)
    first = attach(runners, pool, "r1", 1, slots=2)
    assert [pool.take(work(serial)) for serial in range(4)] == [first, second, first, second]
    assert not pool.free


def test_only_what_is_in_hand_can_be_given_back():
    runners, pool = Runners(), Pool()
    runner = attach(runners, pool, "r1", 1)
    execution = work(1)
    pool.take(execution)
    assert pool.give_back(runner, (9, 2)) is None
    assert not pool.free
    assert pool.give_back(runner, (9, 1)) is execution
    assert pool.give_back(runner, (9, 1)) is None
    assert pool.running == 0


def test_a_stopping_runner_keeps_what_it_holds_and_takes_nothing():
    runners, pool = Runners(), Pool()
    runner = attach(runners, pool, "r1", 1, slots=3)
    pool.take(work(1))
    pool.stop(runner)
    assert (pool.ready, pool.slots, pool.running) == (0, 0, 1)
    assert not pool.free
    pool.give_back(runner, (9, 1))
    assert not pool.free
    assert pool.running == 0


def test_a_slot_given_back_goes_with_its_runner():
    runners, pool = Runners(), Pool()
    runner = attach(runners, pool, "r1", 1)
    pool.take(work(1))
    pool.give_back(runner, (9, 1))
    assert list(pool.free) == ["r1"]
    pool.stop(runner)
    assert not pool.free


def test_a_removed_runner_is_found_no_more():
    runners, pool = Runners(), Pool()
    runner = attach(runners, pool, "r1", 1)
    assert (runners.find("r1"), runners.find_number(1), len(runners), list(runners)) == (runner, runner, 1, [runner])
    runners.remove(runner)
    assert (runners.find("r1"), runners.find_number(1), len(runners), pool.running) == (None, None, 0, 0)
    assert not pool.free


def test_content_types_are_those_of_all_unless_one_takes_anything():
    runners, pool = Runners(), Pool()
    attach(runners, pool, "r1", 1, types=("b", "a"))
    attach(runners, pool, "r2", 2, types=("c", "a"))
    assert pool.content_types == ("a", "b", "c")
    attach(runners, pool, "r3", 3, types=tuple(f"t{n}" for n in range(20)))
    assert len(pool.content_types) == 16
    attach(runners, pool, "r4", 4)
    assert pool.content_types == ()


def test_runners_may_go_while_they_are_walked_through():
    runners, pool = Runners(), Pool()
    for number in range(3):
        attach(runners, pool, f"r{number}", number)
    for runner in runners:
        runners.remove(runner)
    assert len(runners) == 0
