"""DealerSocket: connection state, bounded waiting, refusal; whole bodies either way."""

import asyncio
import logging
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import zmq

from tests.polling import wait_until_async
from tests.unit.net.loops import SOON_S, Dealer, Router, closing_context, pair, reply, request, run
from zmesh.config.limits import NetLimits
from zmesh.net.ports import who_listens
from zmesh.wire import encode

MIB = 1024 * 1024


def peak_mib():
    """Most memory this process has had in use since the mark was reset."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


FROZEN_PEER = """
import sys, zmq
socket = zmq.Context().socket(zmq.ROUTER)
print(socket.bind_to_random_port("tcp://127.0.0.1"), flush=True)
while True:
    socket.recv_multipart()
"""


def unused_endpoint():
    """An endpoint where nobody listens now."""
    with closing_context() as context:
        socket = context.socket(zmq.ROUTER)
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        socket.close()
    assert who_listens("127.0.0.1", port) is None
    return f"tcp://127.0.0.1:{port}"


def test_what_waits_for_a_connection_that_does_not_come_is_refused_by_name(new_loop):
    async def test():
        with closing_context() as context:
            dealer = Dealer(context, unused_endpoint(), timeout_s=0.3)
            start = time.monotonic()
            for serial in range(3):
                assert dealer.socket.send(request(serial))
            await wait_until_async(lambda: len(dealer.refused) == 3, SOON_S)
            assert 0.25 <= time.monotonic() - start < 1.5
            assert [header.id[1] for header in dealer.refused] == [0, 1, 2]
            # From now on the caller is told at once.
            assert not dealer.socket.send(request(4))
            assert dealer.socket.waiting == 0
            assert dealer.changes == []
            dealer.socket.close()

    run(new_loop, test())


def test_what_is_sent_before_the_peer_listens_arrives_when_it_does(new_loop):
    async def test():
        endpoint = unused_endpoint()
        with closing_context() as context:
            dealer = Dealer(context, endpoint)
            for serial in range(20):
                assert dealer.socket.send(request(serial))
            router = Router(context, endpoint=endpoint)
            await wait_until_async(lambda: len(router.heard) == 20, SOON_S)
            assert router.serials == list(range(20))
            assert dealer.refused == []
            dealer.socket.close()
            router.socket.close()

    run(new_loop, test())


def test_a_peer_that_restarts_is_found_again(new_loop):
    async def test():
        with closing_context() as context:
            router = Router(context, answers=True)
            dealer = Dealer(context, router.endpoint)
            await wait_until_async(lambda: dealer.socket.up, SOON_S)
            router.socket.close()
            await wait_until_async(lambda: not dealer.socket.up, SOON_S)
            assert dealer.socket.send(request(1))  # waits: the peer has not been gone for long
            again = Router(context, answers=True, endpoint=router.endpoint)
            await wait_until_async(lambda: dealer.serials == [1], SOON_S)
            assert dealer.changes == ["up", "lost", "up"]
            dealer.socket.close()
            again.socket.close()

    run(new_loop, test())


def test_closing_refuses_what_waits(new_loop):
    async def test():
        with closing_context() as context:
            dealer = Dealer(context, unused_endpoint())
            dealer.socket.send(request(1))
            await asyncio.get_running_loop().run_in_executor(None, lambda: None)
            dealer.socket.close()
            assert [header.id[1] for header in dealer.refused] == [1]
            assert not dealer.socket.send(request(2))
            dealer.socket.close()

    run(new_loop, test())


def test_a_message_under_way_when_the_socket_closes_still_goes_out(new_loop):
    async def test():
        async with pair() as (router, dealer):
            assert dealer.socket.send(request(1))
            dealer.socket.close()
            await wait_until_async(lambda: router.serials == [1], SOON_S)
            assert dealer.refused == []

    run(new_loop, test())


def test_a_full_peer_keeps_the_order_and_refuses_over_the_bound(new_loop):
    """The router's process is stopped by a signal: its kernel and the queues on both sides fill up."""

    async def test():
        peer = subprocess.Popen([sys.executable, "-c", FROZEN_PEER], stdout=subprocess.PIPE, text=True)
        try:
            assert peer.stdout is not None
            port = int(peer.stdout.readline())
            with closing_context() as context:
                limits = NetLimits(high_water_messages=4, waiting_messages_max=20)
                dealer = Dealer(context, f"tcp://127.0.0.1:{port}", timeout_s=0.5, limits=limits)
                await wait_until_async(lambda: dealer.socket.up, SOON_S)
                peer.send_signal(signal.SIGSTOP)
                sent = told_at_once = 0

                def both_kinds_of_refusal():
                    nonlocal sent, told_at_once
                    if dealer.socket.send(request(sent), b"x" * 60_000):
                        sent += 1
                    else:
                        told_at_once += 1
                    return told_at_once and dealer.refused

                await wait_until_async(both_kinds_of_refusal, SOON_S, interval_s=0.0005)
                assert dealer.socket.waiting <= 20
                await wait_until_async(lambda: dealer.socket.waiting == 0, SOON_S)
                serials = [header.id[1] for header in dealer.refused]
                assert serials == sorted(set(serials))
                assert serials[-1] == sent - 1
                dealer.socket.close()
        finally:
            peer.kill()
            peer.wait()
            peer.stdout.close()

    run(new_loop, test())


def test_heartbeats_notice_a_frozen_peer(new_loop):
    async def test():
        peer = subprocess.Popen([sys.executable, "-c", FROZEN_PEER], stdout=subprocess.PIPE, text=True)
        try:
            assert peer.stdout is not None
            port = int(peer.stdout.readline())
            with closing_context() as context:
                dealer = Dealer(context, f"tcp://127.0.0.1:{port}", heartbeat_ms=100)
                await wait_until_async(lambda: dealer.socket.up, SOON_S)
                peer.send_signal(signal.SIGSTOP)
                await wait_until_async(lambda: dealer.changes[-1] == "lost", SOON_S)
                dealer.socket.close()
        finally:
            peer.kill()
            peer.wait()
            peer.stdout.close()

    run(new_loop, test())


def test_the_largest_body_crosses_whole_and_is_not_copied_on_the_way(new_loop):
    body = bytes(range(256)) * (64 * MIB // 256)

    async def test():
        async with pair(answers=True) as (router, dealer):
            Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from what is in use now
            before_mib = peak_mib()
            assert dealer.socket.send(request(1), body)
            await wait_until_async(lambda: dealer.heard, 20)
            grown_mib = peak_mib() - before_mib
            assert dealer.heard[0][1] == body
            # The router's frame, which it sends back as it is, and the dealer's: no third copy.
            assert grown_mib < 2.5 * 64
            assert isinstance(router.heard[0][2], memoryview)

    run(new_loop, test())


def test_an_illegal_message_is_counted(new_loop, caplog):
    async def test():
        async with pair() as (router, dealer):
            dealer.socket.send(request(1))
            await wait_until_async(lambda: router.heard, SOON_S)
            identity = router.heard[0][0].identity
            router.socket._socket.send_multipart([identity, b"a", b"b", b"c"])
            router.socket._socket.send_multipart([identity, *encode(request(3))])  # legal, not from a node
            router.socket.send(identity, reply(request(4)))
            await wait_until_async(lambda: dealer.heard, SOON_S)
            assert dealer.socket.rejected == 2
            assert dealer.serials == [4]

    with caplog.at_level(logging.WARNING):
        run(new_loop, test())


@pytest.mark.parametrize("size", [0, 3, 4000, 5000, 64 * 1024, 64 * 1024 + 1, 2 * MIB])
def test_bodies_of_every_size_arrive_as_they_were(new_loop, size):
    body = (bytes(range(251)) * (size // 251 + 1))[:size]

    async def test():
        async with pair(answers=True) as (router, dealer):
            dealer.socket.send(request(1), body)
            await wait_until_async(lambda: dealer.heard, SOON_S)
            assert router.heard[0][2] == body
            assert dealer.heard[0][1] == body

    run(new_loop, test())


def test_a_callback_that_raises_is_logged_and_one_that_closes_ends_it(new_loop, caplog):
    async def test():
        async with pair(answers=True) as (_router, dealer):
            heard = []

            def on_message(header, _body):
                heard.append(header.id[1])
                if len(heard) > 1:
                    dealer.socket.close()
                raise ZeroDivisionError("of the callback")

            dealer.socket._on_message = on_message
            for serial in range(5):
                dealer.socket.send(request(serial))
            await wait_until_async(lambda: dealer.socket.closed, SOON_S)
            assert heard == [0, 1]

    run(new_loop, test())
    assert "dealer: a callback failed" in caplog.text


def fail_to_send(dealer, serial):
    """libzmq refuses the message of this serial for good."""
    really_send = dealer.socket._send_frame
    frame = encode(request(serial))[0]

    def send_frame(data, *flags):
        if data == frame:
            raise zmq.ZMQError(zmq.EINVAL)
        really_send(data, *flags)

    dealer.socket._send_frame = send_frame


def test_a_message_that_cannot_be_sent_is_refused_and_blocks_none_behind_it(new_loop, caplog):
    async def test():
        async with pair() as (router, dealer):
            fail_to_send(dealer, 1)
            for serial in range(3):
                assert dealer.socket.send(request(serial))
            await wait_until_async(lambda: router.serials == [0, 2], SOON_S)
            assert [header.id[1] for header in dealer.refused] == [1]
            assert dealer.socket.waiting == 0

    run(new_loop, test())
    assert "dealer: a Request cannot be sent" in caplog.text


def test_it_may_be_closed_when_a_message_is_refused(new_loop):
    async def test():
        async with pair() as (_router, dealer):
            fail_to_send(dealer, 0)
            refused = []

            def on_refused(header):
                refused.append(header.id[1])
                dealer.socket.close()

            dealer.socket._on_refused = on_refused
            dealer.socket.send(request(0))
            await wait_until_async(lambda: dealer.socket.closed, SOON_S)
            assert refused == [0]

    run(new_loop, test())


def test_a_dealer_without_a_monitor_is_none_and_leaves_no_socket(new_loop):
    async def test():
        with closing_context(NetLimits(sockets_max=1)) as context:
            with pytest.raises(zmq.ZMQError, match="Too many open files"):
                Dealer(context, "tcp://127.0.0.1:9000")

            def room():
                try:
                    context.socket(zmq.DEALER).close()
                except zmq.ZMQError:
                    return False
                return True

            await wait_until_async(room, SOON_S)

    run(new_loop, test())
