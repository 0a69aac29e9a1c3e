"""BlockingDealer in threads: woken by a descriptor, late, or by work; nothing lost."""

import os
import subprocess
import sys
import threading
import time

import pytest
import zmq

from tests.unit.net.loops import closing_context, reply, request
from zmesh.net.blocking import BlockingDealer
from zmesh.wire import decode, dialect, encode
from zmesh.wire.request import Ready

READY = Ready(service="echo", runner=1, slots=1, pid=1)


@pytest.fixture
def wakeup():
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)
    os.close(writing)


@pytest.fixture
def node(tmp_path):
    """(context, endpoint, ROUTER): the node's side, plain."""
    with closing_context() as context:
        router = context.socket(zmq.ROUTER)
        router.linger = 0
        router.rcvtimeo = 5000
        endpoint = f"ipc://{tmp_path}/runner.ipc"
        router.bind(endpoint)
        yield context, endpoint, router
        router.close()


@pytest.fixture
def dealer(node, wakeup):
    context, endpoint, _ = node
    dealer = BlockingDealer(context, "runner", dialect.FROM_NODE_TO_RUNNER, wakeup_fd=wakeup[0])
    dealer.connect(endpoint)
    yield dealer
    dealer.close()


def test_work_comes_and_goes(node, dealer):
    _, _, router = node
    assert dealer.send(READY, timeout_s=5)
    identity, *frames = router.recv_multipart()
    assert decode(frames, dialect.FROM_RUNNER) == (READY, b"")
    for body in (b"", b"small", b"x" * 5_000, b"y" * 100_000):
        router.send_multipart([identity, *encode(request(3), body)])
        header, got = dealer.recv(5)
        assert (header, bytes(got)) == (request(3), body)
        assert dealer.send(reply(header), got)
        assert decode(router.recv_multipart()[1:], dialect.FROM_RUNNER)[1] == body


def test_the_descriptor_wakes_a_wait_at_once(dealer, wakeup):
    timer = threading.Timer(0.05, os.write, (wakeup[1], b"x"))
    start = time.monotonic()
    timer.start()
    assert dealer.recv() is None
    assert time.monotonic() - start < 2
    timer.join()
    assert dealer.recv(10) is None  # it stays readable until its owner reads it
    assert time.monotonic() - start < 2


def test_a_wait_ends_in_time(dealer):
    start = time.monotonic()
    assert dealer.recv(0.1) is None
    assert 0.09 <= time.monotonic() - start < 2
    assert dealer.recv(0) is None


def test_messages_come_before_the_wakeup(node, dealer, wakeup):
    _, _, router = node
    assert dealer.send(READY, timeout_s=5)
    identity, *_ = router.recv_multipart()
    os.write(wakeup[1], b"x")
    total = 500
    for serial in range(total):
        router.send_multipart([identity, *encode(request(serial))])
    got = []
    deadline = time.monotonic() + 5
    while len(got) < total and time.monotonic() < deadline:
        message = dealer.recv(5)
        if message is not None:
            got.append(message[0].id[1])
    assert got == list(range(total))


def test_without_a_node_a_send_is_refused_and_a_wake_ends_it(node, wakeup, tmp_path):
    context = node[0]
    dealer = BlockingDealer(context, "runner", dialect.FROM_NODE_TO_RUNNER, wakeup_fd=wakeup[0])
    dealer.connect(f"ipc://{tmp_path}/absent.ipc")
    assert not dealer.send(READY)
    start = time.monotonic()
    assert not dealer.send(READY, timeout_s=0.1)
    assert 0.09 <= time.monotonic() - start < 2
    os.write(wakeup[1], b"x")
    assert not dealer.send(READY, timeout_s=60)
    assert time.monotonic() - start < 2
    dealer.close()


def test_illegal_messages_are_counted_and_skipped(node, dealer):
    _, _, router = node
    assert dealer.send(READY, timeout_s=5)
    identity, *_ = router.recv_multipart()
    router.send_multipart([identity, b"1", b"2", b"3"])
    router.send_multipart([identity, *encode(READY)])  # a runner's word, not a node's
    router.send_multipart([identity, *encode(request(1))])
    assert dealer.recv(5) == (request(1), b"")
    assert dealer.rejected == 2


def test_it_loads_no_event_loop():
    code = "import sys, zmesh.net.blocking, zmesh.net.context; print('asyncio' in sys.modules)"
    alone = "import sys, zmesh.wire; print('asyncio' in sys.modules)"
    results = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        for program in (code, alone)
    ]
    assert results[0] == results[1]
