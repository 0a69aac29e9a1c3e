"""Asynchronous services in real processes, the test being their node."""

import asyncio
import functools
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import zmq

from tests.polling import wait_until, wait_until_async
from tests.unit.runner.node import Node
from zmesh.config.limits import NetLimits, RunnerLimits
from zmesh.net.context import close_context, open_context
from zmesh.net.dealer import DealerSocket
from zmesh.runner import loop_async
from zmesh.runner.call import Answer, Service
from zmesh.runner.stop import EXIT_FAILED, EXIT_OK
from zmesh.runner.stop import Stop as Wish
from zmesh.wire import Body
from zmesh.wire.request import Cancel, Outcome, Ready, Reply, Request, Stop, Stopped


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


DEVICE = ("--device-error-pattern", "CUDA error")


def test_after_a_device_error_it_answers_and_exits_though_others_hang(node, start_runner):
    runner = start_runner("patient", "--concurrency", "2", *DEVICE)
    [route] = node.attached()
    node.ask(route, 1, b'{"text": "/never"}')
    node.ask(route, 2, b'{"text": "device /"}')
    assert node.expect(Reply)[1].id == (9, 2)
    assert runner.ended(15.0) == 75


def test_a_device_error_while_it_stops_ends_it_though_others_hang(node, start_runner, tmp_path):
    runner = start_runner("patient", "--concurrency", "2", *DEVICE)
    [route] = node.attached()
    gate = tmp_path / "gate"
    node.ask(route, 1, b'{"text": "/never"}')
    node.ask(route, 2, b'{"text": "device %s"}' % str(gate).encode())
    node.expect(Ready)
    runner.process.send_signal(signal.SIGTERM)
    runner.logged("stopping: SIGTERM")
    gate.touch()
    assert node.expect(Reply)[1].id == (9, 2)
    assert runner.ended(15.0) == 75


def test_after_a_device_error_a_call_that_blocks_the_loop_does_not_keep_the_process(node, start_runner, tmp_path):
    runner = start_runner("patient", "--concurrency", "2", *DEVICE)
    [route] = node.attached()
    gate = tmp_path / "gate"
    node.ask(route, 1, b'{"text": "block %s"}' % str(gate).encode())
    node.ask(route, 2, b'{"text": "device /"}')
    assert node.expect(Reply)[1].id == (9, 2)
    gate.touch()
    runner.logged("blocked")
    assert runner.ended(15.0) == 75


@contextmanager
def served(
    service: Service, socket_path: Path, slots: int = 1, limits: RunnerLimits | None = None
) -> Iterator[tuple[Wish, threading.Thread]]:
    """The loop of ``service`` in a thread of this process, stopped at the end."""

    async def serve() -> None:
        async with asyncio.TaskGroup() as tasks:
            loop = loop_async._Loop(service, context, slots, wish, limits or RunnerLimits(), tasks)
            await loop.serve(f"ipc://{socket_path}")

    context, wish = open_context(), Wish()
    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        yield wish, thread
    finally:
        wish.request("STOP")
        thread.join(10.0)
        close_context(context)
    assert not thread.is_alive()


async def patient(document: dict[str, str]) -> bytes:
    await wait_until_async(lambda: os.path.exists(document["text"]), 20.0, interval_s=0.01)
    return b"x" * 10_000


def test_an_answer_that_cannot_be_written_is_replaced(node, socket_path, caplog):
    class Careless(Service):
        async def run_async(self, request: Request, body: Body, received_at: float) -> Answer:
            return Answer(Reply(request.id, Outcome.OK), "no bytes" * 10_000)  # type: ignore[arg-type]

    with served(Careless("sample", patient), socket_path) as (wish, _):
        [route] = node.attached()
        for serial in range(2):
            node.ask(route, serial, b"{}")
            reply = node.expect(Reply)[1]
            assert (reply.id, reply.outcome, reply.error_type) == ((9, serial), Outcome.RAISED, "LocalProtocolError")
            assert "not bytes" in reply.detail
    assert wish.status == EXIT_OK
    assert "its answer cannot be sent" in caplog.text


def test_an_answer_of_a_node_that_is_gone_is_told_of(node, socket_path, tmp_path, caplog):
    limits = RunnerLimits(send_timeout_s=0.3)
    gates = [tmp_path / "first", tmp_path / "second"]
    with served(Service("sample", patient), socket_path, slots=2, limits=limits) as (wish, _):
        [route] = node.attached()
        for serial, gate in enumerate(gates):
            node.ask(route, serial, b'{"text": "%s"}' % str(gate).encode())
        node.expect(Ready)
        node.close()
        for count, gate in enumerate(gates, start=1):
            gate.touch()  # the first waits for a connection and is given up, the second is refused at once
            wait_until(lambda: caplog.text.count("the node is gone") == count, 10.0)  # noqa: B023
    assert wish.status == EXIT_OK


@pytest.fixture
def short_queue(monkeypatch):
    """libzmq holds one message of the runner, so that answers wait for the node in the runner itself."""
    short = functools.partial(DealerSocket, limits=NetLimits(high_water_messages=1))
    monkeypatch.setattr(loop_async, "DealerSocket", short)


def test_a_stop_waits_until_its_answers_are_taken(node, socket_path, short_queue):
    asked, begun = 500, []

    async def prompt(document: bytes) -> bytes:
        begun.append(document)
        return b"x" * 10_000

    with served(Service("sample", prompt), socket_path, slots=asked) as (wish, _):
        [route] = node.attached()
        for serial in range(asked):
            node.ask(route, serial, b"")
        wait_until(lambda: len(begun) == asked, 10.0)
        wish.request("STOP")
        for _ in range(asked):
            node.expect(Reply)
        node.expect(Stopped)
    assert wish.status == EXIT_OK


@pytest.fixture
def busy_node(socket_path: Path) -> Iterator[Node]:
    """A node that is sent no more than it has room for until it reads."""
    node = Node(socket_path, high_water_messages=100)
    yield node
    node.close()


def test_a_node_that_does_not_take_an_answer_ends_the_process_without_stopped(
    busy_node, socket_path, short_queue, tmp_path, caplog
):
    """STOPPED would promise that the request was never taken, and another runner would run it again."""
    asked, gate = 500, tmp_path / "gate"
    limits = RunnerLimits(send_timeout_s=0.3)
    heard = []

    def gone() -> bool:
        while message := busy_node.receive():
            heard.append(message[1])
        try:
            busy_node.send(route, Stop())
        except zmq.ZMQError:
            return True
        return False

    with served(Service("sample", patient), socket_path, slots=asked + 1, limits=limits) as (wish, _):
        [route] = busy_node.attached()
        busy_node.ask(route, asked, b'{"text": "%s"}' % str(gate).encode())
        for serial in range(asked):
            busy_node.ask(route, serial, b'{"text": "/"}')
        wait_until(lambda: wish.requested, 10.0)
        for _ in range(100):  # now it reads again, and what is still in hand is finished
            busy_node.expect(Reply)
        gate.touch()
        wait_until(gone, 10.0)
    assert (wish.reason, wish.status) == ("an answer was not taken", EXIT_FAILED)
    assert heard[-1].id == (9, asked)
    assert caplog.text.count("an answer was not sent though the node is there") == 1
