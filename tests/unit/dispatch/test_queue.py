"""The queue of a service: order, bounds, and what has waited too long."""

from zmesh.dispatch.execution import Execution
from zmesh.dispatch.queue import Backlog, Queue


def waiting(serial: int, body: bytes = b"", deadline: float = 60.0) -> Execution:
    return Execution((9, serial), "ocr", 0.0, deadline, body=body)


def serials(executions: list[Execution]) -> list[int]:
    return [execution.id[1] for execution in executions]


def test_first_in_first_out():
    queue = Queue(4, Backlog(100))
    for serial in (1, 2, 3):
        queue.push(waiting(serial))
    assert len(queue) == 3
    assert serials([queue.pop(), queue.pop(), queue.pop()]) == [1, 2, 3]
    assert queue.pop() is None


def test_what_comes_back_comes_first_even_above_the_bound():
    queue = Queue(1, Backlog(100))
    queue.push(waiting(1))
    queue.push_front(waiting(2))
    assert serials([queue.pop(), queue.pop()]) == [2, 1]


def test_length_is_bounded():
    queue = Queue(2, Backlog(100))
    queue.push(waiting(1))
    assert queue.has_room(0)
    queue.push(waiting(2))
    assert not queue.has_room(0)


def test_bytes_are_bounded_over_all_queues_and_given_back_by_every_way_out():
    backlog = Backlog(100)
    first, second = Queue(9, backlog), Queue(9, backlog)
    kept = [waiting(serial, b"x" * 20, deadline=serial) for serial in range(1, 5)]
    for execution in kept:
        first.push(execution)
    assert second.has_room(20)
    assert not second.has_room(21)
    first.pop()
    assert backlog.bytes == 60
    first.remove(kept[1])
    assert backlog.bytes == 40
    assert first.take_expired(3.0) == [kept[2]]
    assert backlog.bytes == 20
    assert first.take_all() == [kept[3]]
    assert backlog.bytes == 0
    assert len(first) == 0


def test_what_has_expired_is_taken_out_wherever_it_stands():
    queue = Queue(9, Backlog(100))
    for serial, deadline in ((1, 30.0), (2, 10.0), (3, 20.0)):
        queue.push(waiting(serial, deadline=deadline))
    assert queue.take_expired(9.9) == []
    assert serials(queue.take_expired(10.0)) == [2]
    assert queue.take_expired(19.0) == []
    assert serials(queue.take_expired(30.0)) == [1, 3]


def test_after_emptying_the_next_deadline_counts():
    queue = Queue(9, Backlog(100))
    queue.push(waiting(1, deadline=10.0))
    queue.take_all()
    queue.push(waiting(2, deadline=20.0))
    assert serials(queue.take_expired(20.0)) == [2]
