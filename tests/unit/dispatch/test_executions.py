"""The memory of ids: an id that may have run is never taken for a new one, whatever had to be forgotten."""

from random import Random

import pytest

from zmesh.config.limits import DispatchLimits
from zmesh.dispatch.execution import Execution
from zmesh.dispatch.executions import ANSWER_BYTES, Executions
from zmesh.wire.request import NotStarted, Outcome, Reason, Reply


def remember(executions: Executions, asker: int, serial: int, now: float, body: bytes | None = b"") -> Execution:
    """An execution that has ended at ``now`` with ``body``; unfinished when that is None."""
    assert executions.make_room(now)
    execution = Execution((asker, serial), "ocr", now, now + 60, body=b"input")
    executions.add(execution)
    if body is not None:
        executions.end(execution, Reply((asker, serial), Outcome.OK), body, now)
    return execution


def test_an_id_is_found_from_its_start_to_its_forgetting():
    executions = Executions(DispatchLimits(execution_memory_s=10))
    execution = remember(executions, 9, 1, 0.0)
    assert executions.find((9, 1)) is execution
    assert executions.find((9, 2)) is None
    executions.expire(9.9)
    assert executions.find((9, 1)) is execution
    executions.expire(10.0)
    assert executions.find((9, 1)) is None


def test_the_end_lets_go_of_the_input_and_keeps_the_answer():
    executions = Executions(DispatchLimits(result_memory_s=5))
    execution = remember(executions, 9, 1, 0.0, b"output")
    assert (execution.request, execution.body, execution.answer_body) == (None, b"", b"output")
    assert execution.answer == Reply((9, 1), Outcome.OK)
    executions.expire(4.9)
    assert execution.answer is not None
    executions.expire(5.0)
    assert (execution.answer, execution.answer_body) == (None, b"")
    assert executions.answer_bytes == 0


def test_unfinished_work_is_counted_and_never_forgotten():
    executions = Executions(DispatchLimits(execution_memory_s=1))
    running = remember(executions, 9, 1, 0.0, None)
    remember(executions, 9, 2, 0.0)
    assert (len(executions), executions.unfinished, executions.all_unfinished()) == (2, 1, [running])
    executions.expire(1_000.0)
    assert executions.find((9, 1)) is running


def test_kept_answers_are_bounded_by_bytes_the_oldest_go_first():
    executions = Executions(DispatchLimits(result_bytes_max=3 * (ANSWER_BYTES + 100)))
    kept = [remember(executions, 9, serial, 0.0, b"x" * 100) for serial in range(4)]
    assert [execution.answer is not None for execution in kept] == [False, True, True, True]
    huge = remember(executions, 9, 5, 0.0, b"x" * 10_000)
    assert huge.answer is None
    assert executions.answer_bytes == 0


def test_details_and_refusals_count_too():
    executions = Executions(DispatchLimits())
    execution = Execution((9, 1), "ocr", 0.0, 60.0)
    executions.add(execution)
    executions.end(execution, Reply((9, 1), Outcome.RAISED, detail="x" * 40), b"", 0.0)
    assert executions.answer_bytes == ANSWER_BYTES + 40
    execution = Execution((9, 2), "ocr", 0.0, 60.0)
    executions.add(execution)
    executions.end(execution, NotStarted((9, 2), Reason.BUSY), b"", 0.0)
    assert executions.answer_bytes == 2 * ANSWER_BYTES + 40


def test_room_is_made_by_forgetting_the_longest_ended_with_their_answers():
    executions = Executions(DispatchLimits(executions_max=128))
    for serial in range(128):
        remember(executions, 9, serial, 0.0, b"xx")
    assert executions.make_room(1.0)
    # A sixty-fourth of them, and the one that was needed.
    assert len(executions) == 125
    assert executions.answer_bytes == 125 * (ANSWER_BYTES + 2)
    assert executions.may_be_forgotten((9, 2), 1.0)
    assert not executions.may_be_forgotten((9, 3), 1.0)


def test_no_room_is_made_by_forgetting_what_is_unfinished():
    executions = Executions(DispatchLimits(executions_max=2))
    remember(executions, 9, 1, 0.0, None)
    remember(executions, 9, 2, 0.0, None)
    assert not executions.make_room(1.0)
    assert len(executions) == 2


def test_room_is_made_with_little_to_forget():
    executions = Executions(DispatchLimits(executions_max=1_000))
    for serial in range(999):
        remember(executions, 9, serial, 0.0, None)
    remember(executions, 9, 999, 0.0)
    assert executions.make_room(1.0)
    assert len(executions) == 999


def test_the_horizon_is_the_askers_own_and_only_rises():
    executions = Executions(DispatchLimits(execution_memory_s=1))
    remember(executions, 9, 7, 0.0)
    executions.expire(1.0)
    remember(executions, 9, 3, 2.0)  # cannot happen through the dispatcher, which would refuse it
    executions.expire(3.0)
    assert executions.may_be_forgotten((9, 7), 3.0)
    assert not executions.may_be_forgotten((9, 8), 3.0)
    assert not executions.may_be_forgotten((8, 1), 3.0)


def test_ids_forgotten_together_raise_each_askers_horizon_to_its_highest():
    executions = Executions(DispatchLimits(execution_memory_s=1))
    for asker, serial in ((1, 5), (2, 9), (1, 4), (2, 3)):
        remember(executions, asker, serial, 0.0)
    executions.expire(1.0)
    assert executions.may_be_forgotten((1, 5), 1.0)
    assert not executions.may_be_forgotten((1, 6), 1.0)
    assert executions.may_be_forgotten((2, 9), 1.0)
    assert not executions.may_be_forgotten((2, 10), 1.0)


def test_a_shunned_id_counts_as_forgotten():
    executions = Executions(DispatchLimits())
    executions.shun((9, 4), 0.0)
    assert executions.may_be_forgotten((9, 4), 0.0)
    assert executions.find((9, 4)) is None


def test_a_horizon_goes_when_no_request_that_old_can_be_under_way():
    executions = Executions(DispatchLimits(execution_memory_s=1, asker_horizon_s=100))
    remember(executions, 9, 1, 0.0)
    executions.expire(1.0)
    remember(executions, 8, 1, 50.0)
    executions.expire(51.0)
    executions.expire(101.0)
    assert not executions.may_be_forgotten((9, 1), 101.0)
    assert executions.may_be_forgotten((8, 1), 101.0)
    assert not executions.at_rest
    executions.expire(151.0)
    assert executions.at_rest


def test_a_horizon_raised_for_want_of_room_goes_at_its_time_too():
    executions = Executions(DispatchLimits(executions_max=1, execution_memory_s=1, asker_horizon_s=100))
    remember(executions, 9, 1, 0.0)
    assert executions.make_room(50.0)
    executions.expire(149.9)
    assert executions.may_be_forgotten((9, 1), 149.9)
    executions.expire(150.0)
    assert executions.at_rest


def test_a_horizon_dropped_for_want_of_room_makes_every_unknown_asker_suspect_for_as_long():
    executions = Executions(DispatchLimits(asker_horizons_max=2, asker_horizon_s=100))
    executions.shun((1, 5), 0.0)
    executions.shun((2, 5), 1.0)
    executions.shun((1, 6), 2.0)
    assert not executions.may_be_forgotten((3, 1), 2.0)
    executions.shun((3, 5), 10.0)  # drops asker 2, the longest untouched
    assert executions.may_be_forgotten((2, 5), 109.0)
    assert executions.may_be_forgotten((4, 1), 109.0)
    assert not executions.may_be_forgotten((1, 7), 109.0)
    assert not executions.may_be_forgotten((4, 1), 110.0)
    assert executions.may_be_forgotten((3, 5), 110.0)


@pytest.mark.parametrize("seed", range(5))
def test_no_id_is_ever_taken_for_new_twice(seed):
    """Askers number upwards; ids come in any order, again and again: each is admitted at most once."""
    rng = Random(seed)
    limits = DispatchLimits(executions_max=40, execution_memory_s=3, asker_horizons_max=3, asker_horizon_s=1_000)
    executions = Executions(limits)
    admitted: set[tuple[int, int]] = set()
    unfinished: list[Execution] = []
    now = 0.0
    for step in range(3_000):
        now += rng.random() * 0.2
        request_id = (rng.randrange(6), max(0, step // 6 - rng.randrange(60)))
        is_new = executions.find(request_id) is None and not executions.may_be_forgotten(request_id, now)
        if is_new and executions.make_room(now):
            assert request_id not in admitted
            admitted.add(request_id)
            unfinished.append(remember(executions, *request_id, now, None))
        if unfinished and rng.random() < 0.9:
            execution = unfinished.pop(rng.randrange(len(unfinished)))
            executions.end(execution, Reply(execution.id, Outcome.OK), b"", now)
        executions.expire(now)
    assert len(admitted) > 100
