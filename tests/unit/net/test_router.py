"""RouterSocket with real peers: bursts, full and absent peers, illegal messages."""

import logging

import pytest
import zmq

from tests.polling import wait_until_async
from tests.unit.net.loops import SOON_S, Router, closing_context, pair, plain_dealer, reply, request, run
from zmesh.config.limits import NetLimits
from zmesh.errors import LocalProtocolError
from zmesh.wire import decode, dialect, encode
from zmesh.wire.request import Stop


def test_a_burst_over_the_cap_is_received_whole_and_in_order(new_loop):
    async def test():
        limits = NetLimits(burst_messages_max=8)
        async with pair(router_limits=limits) as (router, dealer):
            for serial in range(1000):
                assert dealer.socket.send(request(serial))
            await wait_until_async(lambda: len(router.heard) == 1000, SOON_S)
            assert router.serials == list(range(1000))

    run(new_loop, test())


def test_the_loop_turns_between_messages_that_take_long(new_loop):
    async def test():
        async with pair(router_limits=NetLimits(burst_s_max=0.0)) as (router, dealer):
            order = []

            def slow(_route, header, _body):
                order.append(header.id[1])
                router.socket._loop.call_soon(order.append, "turn")

            router.socket._on_message = slow
            for serial in range(100):
                dealer.socket.send(request(serial))
            await wait_until_async(lambda: len(order) == 200, SOON_S)
            assert order == [what for serial in range(100) for what in (serial, "turn")]

    run(new_loop, test())


def test_sends_from_callbacks_never_stall(new_loop):
    """Every answer causes the next question on both sides: one missed edge and the chain stands still."""

    async def test():
        async with pair(answers=True) as (_router, dealer):
            rounds = 3000

            def next_one(header, _body):
                dealer.heard.append((header, b""))
                if header.id[1] + 16 < rounds:
                    dealer.socket.send(request(header.id[1] + 16))

            dealer.socket._on_message = next_one
            for serial in range(16):
                dealer.socket.send(request(serial))
            await wait_until_async(lambda: len(dealer.heard) == rounds, 2 * SOON_S)
            assert sorted(dealer.serials) == list(range(rounds))

    run(new_loop, test())


@pytest.mark.parametrize(
    "frames",
    [
        [b""],
        [b"garbage"],
        [b"\x01\x01"],
        [*encode(request(0), b"body"), b"second", b"third"],
        [b"1", b"2", b"3", b"4", b"5"],
        encode(Stop()),  # legal, but not from a gateway
        [encode(request(0))[0] + b"x" * 70_000],
    ],
    ids=["empty", "garbage", "short", "three", "five", "other-role", "long"],
)
def test_illegal_messages_are_counted_and_logged_once_per_sender(new_loop, frames, caplog):
    async def test():
        with closing_context() as context:
            router = Router(context)
            with plain_dealer(context, router.endpoint) as peer:
                for _ in range(3):
                    peer.send_multipart(frames)
                peer.send_multipart(encode(request(5)))
                await wait_until_async(lambda: router.heard, SOON_S)
            assert router.socket.rejected == 3
            assert router.serials == [5]
            router.socket.close()

    with caplog.at_level(logging.WARNING):
        run(new_loop, test())
    assert len([record for record in caplog.records if "illegal message from 127.0.0.1" in record.message]) == 1


def test_a_callback_that_raises_is_logged_and_the_loop_goes_on(new_loop, caplog):
    async def test():
        async with pair() as (router, dealer):
            heard = []

            def fails_once(_route, header, _body):
                heard.append(header.id[1])
                if len(heard) == 1:
                    raise ZeroDivisionError("of the callback")

            router.socket._on_message = fails_once
            dealer.socket.send(request(1))
            dealer.socket.send(request(2))
            await wait_until_async(lambda: heard == [1, 2], SOON_S)

    run(new_loop, test())
    assert "ZeroDivisionError: of the callback" in caplog.text


def test_a_peer_that_is_gone_is_reported_for_each_message(new_loop):
    async def test():
        async with pair() as (router, dealer):
            dealer.socket.send(request(1))
            await wait_until_async(lambda: router.heard, SOON_S)
            route = router.heard[0][0]
            dealer.socket.close()

            def reported():
                router.socket.send(route.identity, reply(request(1)))
                return router.unroutable

            await wait_until_async(reported, SOON_S)
            assert router.unroutable[0] == (route, reply(request(1)))
            count = len(router.unroutable)
            for serial in range(3):
                assert router.socket.send(route.identity, reply(request(serial)))
            await wait_until_async(lambda: len(router.unroutable) >= count + 3, SOON_S)
            assert [header.id[1] for _, header in router.unroutable[-3:]] == [0, 1, 2]

    run(new_loop, test())


def full_peer_limits(**changes):
    return NetLimits(**({"high_water_messages": 4, "waiting_messages_max": 100_000} | changes))


async def stalled(context, router):
    """A peer that has said who it is and reads nothing: (its socket, its routing id)."""
    peer = context.socket(zmq.DEALER)
    peer.set(zmq.LINGER, 0)
    peer.set(zmq.RCVHWM, 4)
    peer.connect(router.endpoint)
    peer.send_multipart(encode(request(1)))
    await wait_until_async(lambda: router.heard, SOON_S)
    return peer, router.heard[-1][0].identity


def test_a_slow_reader_gets_every_message_in_order(new_loop):
    async def test():
        with closing_context() as context:
            router = Router(context, limits=full_peer_limits())
            peer, identity = await stalled(context, router)
            body = b"x" * 50_000
            total = 1000
            for serial in range(total):
                assert router.socket.send(identity, reply(request(serial)), body)
            await wait_until_async(lambda: router.socket.waiting > 100, SOON_S)
            for serial in range(total, total + 5):  # later ones queue behind
                assert router.socket.send(identity, reply(request(serial)), body)
            got = []

            def read_some():
                for _ in range(7):
                    try:
                        header, _ = decode(peer.recv_multipart(zmq.DONTWAIT), dialect.FROM_NODE_TO_GATEWAY)
                    except zmq.Again:
                        break
                    got.append(header.id[1])
                return len(got) == total + 5

            await wait_until_async(read_some, 20, interval_s=0.001)
            assert got == list(range(total + 5))
            assert router.socket.waiting == 0
            peer.close()
            router.socket.close()

    run(new_loop, test())


def test_a_frozen_peer_is_refused_over_the_bound_and_holds_up_nobody(new_loop):
    async def test():
        with closing_context() as context:
            router = Router(context, answers=True, limits=full_peer_limits(waiting_messages_max=10))
            peer, identity = await stalled(context, router)
            body = b"x" * 60_000

            def refused():
                return not router.socket.send(identity, reply(request(0)), body)

            await wait_until_async(refused, SOON_S, interval_s=0.0001)
            assert 10 <= router.socket.waiting <= 11
            with plain_dealer(context, router.endpoint) as other:
                other.send_multipart(encode(request(9)))
                await wait_until_async(lambda: other.get(zmq.EVENTS) & zmq.POLLIN, SOON_S)
            # When the frozen one goes, each of its messages is reported.
            waiting = router.socket.waiting
            peer.close()
            await wait_until_async(lambda: len(router.unroutable) >= waiting, SOON_S)
            assert router.socket.waiting == 0
            router.socket.close()

    run(new_loop, test())


def test_bytes_are_bounded_too(new_loop):
    async def test():
        with closing_context() as context:
            limits = full_peer_limits(waiting_bytes_max=1_000_000)
            router = Router(context, limits=limits)
            peer, identity = await stalled(context, router)
            await wait_until_async(
                lambda: not router.socket.send(identity, reply(request(0)), b"x" * 60_000), SOON_S, interval_s=0.0001
            )
            assert 15 <= router.socket.waiting <= 18
            peer.close()
            router.socket.close()

    run(new_loop, test())


def test_a_message_over_its_limits_is_the_senders_error(new_loop):
    async def test():
        async with pair() as (router, _dealer):
            with pytest.raises(LocalProtocolError):
                router.socket.send(b"x", reply(request(1)), memoryview(bytearray(64 * 1024 * 1024 + 1)))

    run(new_loop, test())


def test_closed_it_takes_nothing_and_may_be_closed_from_a_callback(new_loop):
    async def test():
        async with pair() as (router, dealer):
            router.socket._on_message = lambda *_: router.socket.close()
            dealer.socket.send(request(1))
            dealer.socket.send(request(2))
            await wait_until_async(lambda: router.socket.closed, SOON_S)
            assert not router.socket.send(b"x", reply(request(1)))
            router.socket.close()

    run(new_loop, test())


def test_routes_are_remembered_within_a_bound(new_loop):
    async def test():
        with closing_context() as context:
            router = Router(context, limits=NetLimits(routes_max=2))
            for count in range(1, 6):
                with plain_dealer(context, router.endpoint) as peer:
                    peer.send_multipart(encode(request(count)))
                    await wait_until_async(lambda: len(router.heard) == count, SOON_S)  # noqa: B023
            assert len({route for route, _, _ in router.heard}) == 5
            assert len(router.socket._routes) <= 2
            router.socket.close()

    run(new_loop, test())
