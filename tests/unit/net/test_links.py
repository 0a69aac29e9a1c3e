"""Links: one DEALER per address, bounded, idle ones closed, absent ones refused."""

import pytest

from tests.polling import wait_until_async
from tests.unit.net.loops import SOON_S, Router, closing_context, request, run
from tests.unit.net.test_dealer import unused_endpoint
from zmesh.config.limits import NetLimits
from zmesh.errors import ConfigurationError
from zmesh.net.links import Links
from zmesh.wire import dialect


class Heard:
    def __init__(self, context, **options):
        self.messages = []
        self.refused = []
        self.changes = []
        settings = {"peers_max": 4, "peer_idle_s": 60.0, "connect_timeout_s": 5.0} | options
        self.links = Links(
            context,
            "links",
            dialect.FROM_NODE_TO_GATEWAY,
            lambda address, header, _body: self.messages.append((address, header.id[1])),
            lambda address, header: self.refused.append((address, header.id[1])),
            on_up=lambda address: self.changes.append((address, "up")),
            on_lost=lambda address: self.changes.append((address, "lost")),
            **settings,
        )


def address(router):
    return router.endpoint.removeprefix("tcp://")


def test_answers_come_with_the_address_they_are_from(new_loop):
    async def test():
        with closing_context() as context:
            routers = [Router(context, answers=True) for _ in range(3)]
            heard = Heard(context)
            for serial, router in enumerate(routers):
                assert heard.links.send(address(router), request(serial))
            await wait_until_async(lambda: len(heard.messages) == 3, SOON_S)
            assert sorted(heard.messages) == sorted((address(router), i) for i, router in enumerate(routers))
            assert sorted(heard.changes) == sorted((address(router), "up") for router in routers)
            heard.links.close()
            assert heard.links.addresses == ()
            assert not heard.links.send(address(routers[0]), request(9))
            for router in routers:
                router.socket.close()

    run(new_loop, test())


def test_ipc_endpoints_are_addresses_too(new_loop, tmp_path):
    async def test():
        with closing_context() as context:
            router = Router(context, answers=True, endpoint=f"ipc://{tmp_path}/r.ipc")
            heard = Heard(context)
            assert heard.links.send(router.endpoint, request(1))
            await wait_until_async(lambda: heard.messages == [(router.endpoint, 1)], SOON_S)
            heard.links.close()
            router.socket.close()

    run(new_loop, test())


def test_an_absent_peer_refuses_by_callback_then_at_once_and_is_found_later(new_loop):
    async def test():
        endpoint = unused_endpoint()
        where = endpoint.removeprefix("tcp://")
        with closing_context() as context:
            heard = Heard(context, connect_timeout_s=0.2)
            assert heard.links.send(where, request(1))
            await wait_until_async(lambda: heard.refused == [(where, 1)], SOON_S)
            assert not heard.links.send(where, request(2))
            router = Router(context, answers=True, endpoint=endpoint)
            await wait_until_async(lambda: (where, "up") in heard.changes, SOON_S)
            assert heard.links.send(where, request(3))
            await wait_until_async(lambda: heard.messages == [(where, 3)], SOON_S)
            router.socket.close()
            await wait_until_async(lambda: (where, "lost") in heard.changes, SOON_S)
            heard.links.close()

    run(new_loop, test())


def test_an_idle_link_is_closed_and_opened_again_when_needed(new_loop):
    async def test():
        with closing_context() as context:
            router = Router(context, answers=True)
            heard = Heard(context, peer_idle_s=0.1)
            heard.links.send(address(router), request(1))
            await wait_until_async(lambda: heard.messages, SOON_S)
            await wait_until_async(lambda: heard.links.addresses == (), SOON_S)
            heard.links.send(address(router), request(2))
            await wait_until_async(lambda: len(heard.messages) == 2, SOON_S)
            assert heard.changes == [(address(router), "up")] * 2  # closing it is no loss
            heard.links.close()
            router.socket.close()

    run(new_loop, test())


def test_a_full_set_closes_the_one_idle_longest_but_no_busy_one(new_loop):
    async def test():
        with closing_context() as context:
            routers = [Router(context, answers=True) for _ in range(3)]
            heard = Heard(context, peers_max=2, limits=NetLimits(evict_idle_s=0.3))
            first, second, third = map(address, routers)
            assert heard.links.open(first)
            assert heard.links.send(second, request(2))
            assert not heard.links.send(third, request(3))  # both have just been used

            def taken():
                heard.links.send(second, request(2))
                return heard.links.send(third, request(3))

            await wait_until_async(taken, SOON_S)
            assert set(heard.links.addresses) == {second, third}
            assert heard.refused == []
            heard.links.close()
            for router in routers:
                router.socket.close()

    run(new_loop, test())


def test_dropping_refuses_what_waits_and_keeps_the_count(new_loop):
    async def test():
        where = unused_endpoint().removeprefix("tcp://")
        with closing_context() as context:
            heard = Heard(context)
            heard.links.send(where, request(1))
            heard.links.drop(where)
            heard.links.drop(where)
            assert heard.refused == [(where, 1)]
            assert heard.links.rejected == 0
            heard.links.close()

    run(new_loop, test())


def test_a_name_is_no_address(new_loop):
    async def test():
        with closing_context() as context:
            heard = Heard(context)
            with pytest.raises(ConfigurationError, match="literal IP address"):
                heard.links.send("localhost:7400", request(1))
            assert heard.links.addresses == ()
            heard.links.close()

    run(new_loop, test())


def test_no_sockets_left_is_a_refusal_told_of_once_and_leaks_none(new_loop, caplog):
    async def test():
        # A connection takes three: its own, and both ends of its monitor's pair. The seventh is one without a monitor.
        with closing_context(NetLimits(sockets_max=7)) as context:
            heard = Heard(context, peers_max=100)
            try:
                sent = [heard.links.send(f"127.0.0.1:{port}", request(port)) for port in range(9000, 9006)]
                assert sent == [True, True, False, False, False, False]
                assert heard.links.addresses == ("127.0.0.1:9000", "127.0.0.1:9001")
                heard.links.drop("127.0.0.1:9000")
                # libzmq gives a closed socket's place back a moment later.
                await wait_until_async(lambda: heard.links.open("127.0.0.1:9005"), SOON_S)
            finally:
                heard.links.close()

    run(new_loop, test())
    assert caplog.text.count("no connection can be opened to 127.0.0.1:9002: Too many open files") == 1
