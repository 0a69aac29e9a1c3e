"""The turn of a socket: no edge is missed, whichever call saw it, and no failure ends it."""

import asyncio
from itertools import pairwise

from tests.polling import wait_until_async
from tests.unit.net.loops import SOON_S, Dealer, Router, closing_context, pair, request, run
from zmesh.config.limits import NetLimits


def test_sends_of_one_pass_go_out_together(new_loop):
    async def test():
        async with pair() as (router, dealer):
            flushes = []
            flush = dealer.socket._flush
            dealer.socket._flush = lambda: (flushes.append(len(dealer.socket._outbox)), flush())
            for serial in range(50):
                dealer.socket.send(request(serial))
            await wait_until_async(lambda: len(router.heard) == 50, SOON_S)
            assert flushes == [50]

    run(new_loop, test())


def test_a_burst_leaves_the_loop_to_others(new_loop):
    async def test():
        with closing_context() as context:
            router = Router(context, limits=NetLimits(burst_messages_max=10))
            dealer = Dealer(context, router.endpoint)
            await wait_until_async(lambda: dealer.socket.up, SOON_S)
            seen = [0]
            loop = asyncio.get_running_loop()

            def between():
                seen.append(len(router.heard))
                if not router.socket.closed:
                    loop.call_soon(between)

            between()
            for serial in range(200):
                dealer.socket.send(request(serial))
            await wait_until_async(lambda: len(router.heard) == 200, SOON_S)
            assert max(after - before for before, after in pairwise(seen)) <= 20
            dealer.socket.close()
            router.socket.close()

    run(new_loop, test())


def test_a_full_queue_that_empties_while_nothing_is_read_is_noticed(new_loop):
    """The room in the queue may be seen by the very call that found nothing to read: no descriptor tells it again."""

    async def test():
        for _ in range(20):
            limits = NetLimits(high_water_messages=2, burst_messages_max=4)
            async with pair(router_limits=limits, limits=limits) as (router, dealer):
                for serial in range(300):
                    assert dealer.socket.send(request(serial))
                await wait_until_async(lambda: len(router.heard) == 300, SOON_S)
                assert router.serials == list(range(300))

    run(new_loop, test())


def test_a_failure_in_the_middle_of_a_turn_delays_nothing_after_it(new_loop):
    async def test():
        async with pair() as (router, dealer):
            failures = []
            asyncio.get_running_loop().set_exception_handler(lambda _loop, failure: failures.append(failure))
            receive = router.socket._receive_burst

            def fails_once(messages_max):
                router.socket._receive_burst = receive
                receive(1)  # from here on the descriptor is silent about the other two
                raise MemoryError("in the middle")

            router.socket._receive_burst = fails_once
            for serial in range(3):
                dealer.socket.send(request(serial))
            await wait_until_async(lambda: router.serials == [0, 1, 2], SOON_S)
            assert isinstance(failures[0]["exception"], MemoryError)

    run(new_loop, test())
