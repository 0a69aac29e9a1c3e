"""Synchronous services in real processes, the test being their node."""

import os
import signal
import threading

import pytest

from tests.unit.runner.node import Node
from zmesh.config.limits import RunnerLimits
from zmesh.runner import loop_blocking
from zmesh.runner.call import Answer, Service
from zmesh.runner.stop import EXIT_FAILED, EXIT_OK
from zmesh.runner.stop import Stop as Wish
from zmesh.wire import Body
from zmesh.wire.request import Cancel, Outcome, Ready, Reply, Request, Stop, Stopped


def test_requests_are_answered_and_the_model_was_loaded_once(node, start_runner):
    runner = start_runner("upper_case")
    [route] = node.attached()
    for serial in (1, 2):
        node.ask(route, serial, b'{"text": "a"}')
        answered_on, reply, body = node.expect(Reply)
        assert (answered_on, reply.id, reply.outcome) == (route, (9, serial), Outcome.OK)
        assert body == b'{"text":"A","pid":%d,"set_ups":1}' % runner.process.pid
    assert node.readies[0].slots == 1
    assert node.readies[0].content_types == ("application/json",)


def test_an_idle_runner_repeats_ready_with_its_node(node, start_runner):
    start_runner("upper_case")
    node.attached()
    first = node.readies[-1]
    _, second, _ = node.expect(Ready)
    assert (first.node_instance, second.node_instance, first.runner) == (0, node.instance, second.runner)


def test_each_thread_is_a_connection_and_they_run_side_by_side(node, start_runner, tmp_path):
    start_runner("slow", "--concurrency", "3")
    routes = node.attached(3)
    assert len({ready.runner for ready in node.readies}) == 3
    gate = tmp_path / "gate"
    for serial, route in enumerate(routes):
        node.ask(route, serial, b'{"text": "%s"}' % str(gate).encode())
    gate.touch()
    replies = [node.expect(Reply) for _ in routes]
    assert {reply.outcome for _, reply, _ in replies} == {Outcome.OK}
    assert len({thread for _, _, thread in replies}) == 3


def test_an_exception_is_answered_and_its_traceback_logged_with_the_request(node, start_runner):
    runner = start_runner("faulty")
    [route] = node.attached()
    node.ask(route, 31, b'{"text": "it"}')
    _, reply, _ = node.expect(Reply)
    assert (reply.outcome, reply.error_type, reply.detail) == (Outcome.RAISED, "ValueError", "cannot do it")
    node.ask(route, 32, b'{"text": "exit"}')
    assert node.expect(Reply)[1].error_type == "SystemExit"
    runner.logged("request 0000000000000009-1f")
    runner.logged("Traceback")
    assert runner.process.poll() is None


def test_sigterm_while_idle_ends_at_once(node, start_runner):
    runner = start_runner("upper_case")
    [route] = node.attached()
    runner.process.send_signal(signal.SIGTERM)
    stopped_on, stopped, _ = node.expect(Stopped)
    assert (stopped_on, stopped.reason, stopped.runner) == (route, "SIGTERM", node.readies[0].runner)
    assert runner.ended() == 0


def test_stop_finishes_what_is_in_hand_and_takes_nothing_more(node, start_runner, tmp_path):
    runner = start_runner("slow")
    [route] = node.attached()
    gate = tmp_path / "gate"
    node.ask(route, 1, b'{"text": "%s"}' % str(gate).encode())
    runner.logged("begun")
    runner.process.send_signal(signal.SIGTERM)
    node.ask(route, 2, b'{"text": "/"}')
    gate.touch()
    assert node.expect(Reply)[1].id == (9, 1)
    node.expect(Stopped)
    assert runner.ended() == 0
    assert runner.log.count("begun") == 1


def test_a_stop_message_ends_all_threads(node, start_runner):
    runner = start_runner("upper_case", "--concurrency", "2")
    first, second = node.attached(2)
    node.send(first, Stop())
    assert {node.expect(Stopped)[0], node.expect(Stopped)[0]} == {first, second}
    assert runner.ended() == 0


def test_cancel_changes_nothing(node, start_runner, tmp_path):
    runner = start_runner("slow")
    [route] = node.attached()
    gate = tmp_path / "gate"
    node.ask(route, 1, b'{"text": "%s"}' % str(gate).encode())
    runner.logged("begun")
    node.send(route, Cancel((9, 1)))
    gate.touch()
    assert node.expect(Reply)[1].outcome is Outcome.OK
    node.ask(route, 2, b'{"text": "/"}')
    assert node.expect(Reply)[1].outcome is Outcome.OK


def test_it_outlives_its_node_and_attaches_to_the_next(socket_path, start_runner):
    first = Node(socket_path, instance=1)
    runner = start_runner("upper_case")
    first.attached()
    first.close()
    os.unlink(socket_path)
    second = Node(socket_path, instance=2)
    try:
        [route] = second.attached()
        assert second.readies[0].node_instance == 1
        second.ask(route, 1, b'{"text": "a"}')
        assert second.expect(Reply)[1].outcome is Outcome.OK
        assert runner.process.poll() is None
    finally:
        second.close()


def test_it_may_start_before_its_node(socket_path, start_runner):
    runner = start_runner("upper_case")
    node = Node(socket_path)
    try:
        node.attached()
        runner.process.send_signal(signal.SIGTERM)
        assert runner.ended() == 0
    finally:
        node.close()


def test_after_a_device_error_it_answers_and_exits_to_be_restarted(node, start_runner):
    runner = start_runner("faulty", "--device-error-pattern", "CUDA error", "--device-error-pattern", "NCCL")
    [route] = node.attached()
    node.ask(route, 1, b'{"text": "device"}')
    assert node.expect(Reply)[1].outcome is Outcome.RAISED
    node.expect(Stopped)
    assert runner.ended() == 75


def test_without_the_pattern_that_error_is_like_any_other(node, start_runner):
    start_runner("faulty")
    [route] = node.attached()
    for serial in (1, 2):
        node.ask(route, serial, b'{"text": "device"}')
        assert node.expect(Reply)[1].outcome is Outcome.RAISED


def by_thread(node: Node) -> dict[str, bytes]:
    """The route to each of two slots, by the name of its thread."""
    routes = {}
    for serial, route in enumerate(node.attached(2)):
        node.ask(route, 100 + serial, b'{"text": "who"}')
        answered_on, _, name = node.expect(Reply)
        routes[name.decode().strip('"')] = answered_on
    return routes


@pytest.mark.parametrize("hung", ["MainThread", "slot-1"])
@pytest.mark.parametrize("already", ["running", "stopping"])
def test_after_a_device_error_a_call_that_hangs_does_not_keep_the_process(node, start_runner, hung, already):
    """Whichever slot it is in: a thread of its own has the last word."""
    runner = start_runner("hanging", "--concurrency", "2", "--device-error-pattern", "CUDA error")
    routes = by_thread(node)
    node.ask(routes.pop(hung), 1, b'{"text": "wait"}')
    runner.logged("hangs")
    [other] = routes.values()
    node.ask(other, 2, b'{"text": "device"}')
    assert node.expect(Reply)[1].id == (9, 2)
    if already == "stopping":
        runner.process.send_signal(signal.SIGTERM)
    assert runner.ended(15.0) == 75
    assert "do not come back from the broken device" in runner.log


@pytest.mark.parametrize("failing", ["slot-0", "slot-1"])
def test_a_loop_that_fails_ends_the_process_so_that_no_dead_slot_stays(node, socket_path, caplog, failing):
    class Failing(Service):
        def run(self, request: Request, body: Body) -> Answer:
            if body == b"fail":
                raise MemoryError
            return super().run(request, body)

    def who(_body: bytes) -> str:
        return threading.current_thread().name

    wish = Wish()
    arguments = (Failing("sample", who), f"ipc://{socket_path}", 2, wish, RunnerLimits())
    thread = threading.Thread(target=loop_blocking.run, args=arguments, name="slot-0")
    thread.start()
    routes = by_thread(node)
    node.ask(routes.pop(failing), 1, b"fail")
    assert [node.expect(Stopped)[0]] == list(routes.values())  # of the other loop
    thread.join(10.0)
    assert not thread.is_alive()
    assert wish.status == EXIT_FAILED
    assert "the loop of a slot failed" in caplog.text
    assert node.receive() is None


def test_an_answer_that_cannot_be_written_is_replaced(node, socket_path, caplog):
    class Careless(Service):
        def run(self, request: Request, body: Body) -> Answer:
            return Answer(Reply(request.id, Outcome.OK), "no bytes" * 10_000)  # type: ignore[arg-type]

    wish = Wish()
    arguments = (Careless("sample", lambda body: body), f"ipc://{socket_path}", 1, wish, RunnerLimits())
    thread = threading.Thread(target=loop_blocking.run, args=arguments)
    thread.start()
    [route] = node.attached()
    for serial in range(2):
        node.ask(route, serial, b"{}")
        reply = node.expect(Reply)[1]
        assert (reply.id, reply.outcome, reply.error_type) == ((9, serial), Outcome.RAISED, "LocalProtocolError")
        assert "not bytes" in reply.detail
    wish.request("STOP")
    thread.join(10.0)
    assert wish.status == EXIT_OK
    assert "its answer cannot be sent" in caplog.text
