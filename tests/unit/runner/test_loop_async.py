"""Asynchronous services in real processes, the test being their node."""

import os
import signal

from tests.unit.runner.node import Node
from zmesh.wire.request import Cancel, Outcome, Ready, Reply, Stop, Stopped


def test_one_connection_runs_as_many_as_it_has_slots(node, start_runner, tmp_path):
    start_runner("patient", "--concurrency", "4")
    [route] = node.attached()
    assert node.readies[0].slots == 4
    gates = [tmp_path / str(serial) for serial in range(4)]
    for serial, gate in enumerate(gates):
        node.ask(route, serial, b'{"text": "%s"}' % str(gate).encode())
    for serial in (3, 1, 0, 2):
        gates[serial].touch()
        assert node.expect(Reply)[1].id == (9, serial)


def test_no_more_run_than_it_has_slots(node, start_runner, tmp_path):
    start_runner("patient")
    [route] = node.attached()
    gate = tmp_path / "gate"
    node.ask(route, 1, b'{"text": "%s"}' % str(gate).encode())
    node.ask(route, 2, b'{"text": "/"}')
    node.expect(Ready)
    gate.touch()
    assert [node.expect(Reply)[1].id for _ in range(2)] == [(9, 1), (9, 2)]


def test_cancel_ends_a_task_that_runs_and_one_that_waits(node, start_runner):
    start_runner("patient")
    [route] = node.attached()
    node.ask(route, 1, b'{"text": "/never"}')
    node.ask(route, 2, b'{"text": "/never"}')
    node.send(route, Cancel((9, 2)))
    node.send(route, Cancel((9, 1)))
    node.send(route, Cancel((9, 7)))
    ended = {node.expect(Reply)[1] for _ in range(2)}
    assert {(reply.id[1], reply.outcome) for reply in ended} == {(1, Outcome.CANCELLED), (2, Outcome.CANCELLED)}
    node.ask(route, 3, b'{"text": "/"}')
    assert node.expect(Reply)[1].outcome is Outcome.OK


def test_stop_finishes_what_is_in_hand(node, start_runner, tmp_path):
    runner = start_runner("patient", "--concurrency", "2")
    [route] = node.attached()
    gate = tmp_path / "gate"
    node.ask(route, 1, b'{"text": "%s"}' % str(gate).encode())
    node.send(route, Stop())
    node.ask(route, 2, b'{"text": "/"}')
    gate.touch()
    assert node.expect(Reply)[1].id == (9, 1)
    node.expect(Stopped)
    assert runner.ended() == 0


def test_sigterm_while_idle_ends_at_once(node, start_runner):
    runner = start_runner("patient")
    node.attached()
    runner.process.send_signal(signal.SIGTERM)
    assert node.expect(Stopped)[1].reason == "SIGTERM"
    assert runner.ended() == 0


def test_it_outlives_its_node_and_attaches_to_the_next(socket_path, start_runner):
    first = Node(socket_path, instance=1)
    start_runner("patient")
    first.attached()
    first.close()
    os.unlink(socket_path)
    second = Node(socket_path, instance=2)
    try:
        [route] = second.attached()
        second.ask(route, 1, b'{"text": "/"}')
        assert second.expect(Reply)[1].outcome is Outcome.OK
    finally:
        second.close()


def test_after_a_device_error_it_answers_and_exits_though_others_hang(node, start_runner):
    runner = start_runner("patient", "--concurrency", "2", "--device-error-pattern", "CUDA error")
    [route] = node.attached()
    node.ask(route, 1, b'{"text": "/never"}')
    node.ask(route, 2, b'{"text": "device"}')
    assert node.expect(Reply)[1].id == (9, 2)
    assert runner.ended(15.0) == 75
