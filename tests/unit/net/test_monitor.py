"""The monitor tells up and lost, and nothing after it is closed."""

import zmq

from tests.polling import wait_until_async
from tests.unit.net.loops import SOON_S, closing_context, run
from zmesh.net.monitor import Monitor


def test_up_lost_and_closed(new_loop):
    async def test():
        with closing_context() as context:
            router, dealer = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
            port = router.bind_to_random_port("tcp://127.0.0.1")
            changes = []
            monitor = Monitor(context, dealer, changes.append)
            dealer.connect(f"tcp://127.0.0.1:{port}")
            await wait_until_async(lambda: changes == [True], SOON_S)
            router.close()
            await wait_until_async(lambda: changes == [True, False], SOON_S)
            monitor.close()
            monitor.close()
            dealer.close()

    run(new_loop, test())


def test_it_may_be_closed_by_what_it_calls(new_loop):
    async def test():
        with closing_context() as context:
            router, dealer = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
            port = router.bind_to_random_port("tcp://127.0.0.1")
            changes = []

            def on_change(up):
                changes.append(up)
                monitor.close()

            monitor = Monitor(context, dealer, on_change)
            dealer.connect(f"tcp://127.0.0.1:{port}")
            await wait_until_async(lambda: changes == [True], SOON_S)
            router.close()
            dealer.close()

    run(new_loop, test())
