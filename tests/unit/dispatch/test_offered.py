"""One service's openness, rate and load."""

from math import ceil
from random import Random

from zmesh.config.limits import DispatchLimits
from zmesh.dispatch.execution import Execution
from zmesh.dispatch.offered import Service
from zmesh.dispatch.queue import Backlog
from zmesh.dispatch.slots import Runner, Runners
from zmesh.wire.record import ServiceLoad
from zmesh.wire.request import Ready


def make(**limits: float) -> Service:
    return Service("ocr", 2, Backlog(100), DispatchLimits(**limits))


def with_runner(service: Service, slots: int = 1) -> tuple[Runners, Runner]:
    runners = Runners()
    runner = runners.attach(Ready("ocr", 1, slots, 11), "r1", service.pool, 0.0)
    service.runner_came()
    return runners, runner


def test_it_is_open_from_its_first_runner_until_a_while_after_its_last():
    service = make(runner_return_s=3.0)
    assert not service.is_open(0.0)
    runners, first = with_runner(service)
    second = runners.attach(Ready("ocr", 2, 1, 12), "r2", service.pool, 0.0)
    assert not service.runner_came()
    runners.remove(first)
    assert not service.runner_left(10.0)
    runners.remove(second)
    assert service.runner_left(10.0)
    assert service.is_open(12.9)
    assert not service.is_open(13.0)


def test_the_first_runner_brings_it_up():
    service = make()
    Runners().attach(Ready("ocr", 1, 1, 11), "r1", service.pool, 0.0)
    assert service.runner_came()


def test_a_request_starts_now_only_if_a_slot_is_free_and_nobody_waits():
    service = make()
    assert not service.starts_now
    with_runner(service)
    assert service.starts_now
    service.queue.push(Execution((9, 1), "ocr", 0.0, 60.0))
    assert not service.starts_now


def test_there_is_room_for_what_can_start_even_without_a_queue():
    service = Service("ocr", 0, Backlog(100), DispatchLimits())
    assert not service.has_room(1)
    with_runner(service)
    assert service.has_room(1_000)


def test_the_average_run_follows_the_newest_by_its_weight():
    service = make(run_ewma_weight=0.2)
    service.observe_run(1.0)
    assert service.load.run_us == 1_000_000
    service.observe_run(2.0)
    assert service.load.run_us == 1_200_000


def test_nothing_is_advised_before_anything_was_measured_or_without_slots():
    service = make()
    with_runner(service)
    assert service.retry_after_ms(Random(1)) == 0
    bare = make()
    bare.observe_run(1.0)
    assert bare.retry_after_ms(Random(1)) == 0


def test_the_advice_follows_run_time_queue_and_slots_and_is_spread_and_bounded():
    service = make()
    with_runner(service, slots=2)
    service.observe_run(1.0)
    rng = Random(1)
    assert service.retry_after_ms(Random(2)) == ceil(500 * (1 + 0.25 * Random(2).random()))
    advice = [service.retry_after_ms(rng) for _ in range(50)]
    assert 500 <= min(advice) < max(advice) <= 625
    service.queue.push(Execution((9, 1), "ocr", 0.0, 60.0))
    assert 1_000 <= service.retry_after_ms(rng) <= 1_250
    service.observe_run(1e6)
    assert service.retry_after_ms(rng) == 60_000


def test_the_load_says_what_waits_and_what_runs():
    service = make()
    with_runner(service, slots=2)
    service.pool.take(Execution((9, 1), "ocr", 0.0, 60.0))
    service.queue.push(Execution((9, 2), "ocr", 0.0, 60.0))
    assert service.load == ServiceLoad("ocr", 1, 1, 0)
