"""Which socket a message takes, with real peers on the other ends."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.polling import wait_until_async
from zmesh.config.limits import NetLimits, RoutingLimits
from zmesh.gateway.carrier import SocketCarrier
from zmesh.net.context import close_context, open_context
from zmesh.net.pubsub import XPubSocket
from zmesh.net.router import Route, RouterSocket
from zmesh.routing.target import LOCAL, PROBE, Target
from zmesh.wire import Topic
from zmesh.wire.dialect import FROM_GATEWAY, REQUEST_ROUTER
from zmesh.wire.event import EventHead, ReplicaMark, ReplicaRequest
from zmesh.wire.membership import Ack, Ping
from zmesh.wire.request import Outcome, Reply, Request

SOON_S = 5.0
HOME = Target("box-a", 0, "", LOCAL)
LIMITS = RoutingLimits(connect_timeout_s=0.2)


class Told:
    """In the forwarder's place: keeps what it is told."""

    def __init__(self) -> None:
        self.received_from: list[tuple[Target, Any, bytes]] = []
        self.published_by_home: list[Any] = []
        self.refusals: list[tuple[Target, Any]] = []
        self.links: list[tuple[str, Target]] = []

    def received(self, source: Target, header: Any, body: Any) -> None:
        self.received_from.append((source, header, bytes(body)))

    def published(self, header: Any, _body: Any) -> None:
        self.published_by_home.append(header)

    def refused(self, target: Target, header: Any) -> None:
        self.refusals.append((target, header))

    def link_up(self, target: Target) -> None:
        self.links.append(("up", target))

    def link_lost(self, target: Target) -> None:
        self.links.append(("lost", target))


class Bench:
    """Peers of a carrier: the own node and another box."""

    def __init__(self, runtime_dir: Path) -> None:
        self.runtime_dir = runtime_dir
        self.context = open_context()
        self.told = Told()
        self.heard: list[tuple[str, bytes, Any]] = []
        self.home = self.router("home", FROM_GATEWAY)
        self.home.bind(f"ipc://{runtime_dir}/gateway.ipc")
        self.other = self.router("other", REQUEST_ROUTER)
        self.address = self.other.bind("tcp://127.0.0.1:*").removeprefix("tcp://")
        self.events = XPubSocket(self.context, "events")
        self.events.bind(f"ipc://{runtime_dir}/events.ipc")
        self.carrier = SocketCarrier(runtime_dir, HOME, self.told, LIMITS)  # type: ignore[arg-type]

    def router(self, name: str, dialect: Any) -> RouterSocket:
        def hear(route: Route, header: Any, _body: Any) -> None:
            self.heard.append((name, route.identity, header))
            socket = {"home": self.home, "other": self.other}[name]
            if isinstance(header, Request):
                socket.send(route.identity, Reply(header.id, Outcome.OK, name), b"done")
            elif isinstance(header, Ping):
                socket.send(route.identity, Ack(name, 22, 1, header.sequence))

        return RouterSocket(self.context, name, dialect, hear, lambda *_: None)

    def close(self) -> None:
        self.carrier.close()
        for socket in (self.home, self.other, self.events):
            socket.close()
        close_context(self.context)

    def target(self, instance: int = 22) -> Target:
        return Target("box-b", instance, self.address)


def request(serial: int, instance: int) -> Request:
    return Request((7, serial), instance, "s", 1_000)


@pytest.fixture
def runtime_dir() -> Iterator[Path]:
    with TemporaryDirectory(prefix="zm") as directory:
        yield Path(directory)


def run(runtime_dir: Path, test: Callable[[Bench], Awaitable[None]]) -> None:
    async def main() -> None:
        bench = Bench(runtime_dir)
        try:
            await test(bench)
        finally:
            bench.close()

    asyncio.run(main())


def test_each_message_takes_its_socket_and_answers_name_their_source(runtime_dir: Path) -> None:
    async def test(bench: Bench) -> None:
        assert bench.carrier.send(HOME._replace(instance=11), request(1, 11), b"")
        assert bench.carrier.send(bench.target(), request(2, 22), b"")
        assert bench.carrier.send_home(ReplicaRequest(7))
        await wait_until_async(lambda: len(bench.told.received_from) == 2 and len(bench.heard) == 3, SOON_S)
        at_home = [type(header) for name, _, header in bench.heard if name == "home"]
        assert sorted(kind.__name__ for kind in at_home) == ["ReplicaRequest", "Request"]
        sources = {header.id[1]: source for source, header, _ in bench.told.received_from}
        assert sources == {1: HOME, 2: bench.target()}
        assert {("up", HOME), ("up", bench.target())} <= set(bench.told.links)

    run(runtime_dir, test)


def test_libzmq_and_the_router_find_a_silent_peer_at_the_same_time(runtime_dir: Path) -> None:
    async def test(bench: Bench) -> None:
        for links in (bench.carrier._links, bench.carrier._probes):
            assert links._heartbeat_ms * NetLimits().heartbeat_misses == LIMITS.silence_ms_max

    run(runtime_dir, test)


def test_a_probe_has_a_connection_made_for_it(runtime_dir: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.carrier.send(bench.target(), request(1, 22), b"")
        for sequence in (1, 2):
            for target in (bench.target(), HOME):
                assert bench.carrier.send(target._replace(path=PROBE), Ping("box-a", 7, sequence, "box-b", 22), b"")
            await wait_until_async(
                lambda: sum(isinstance(h, Ack) for _, h, _ in bench.told.received_from) == 2 * sequence,  # noqa: B023
                SOON_S,
            )
        for name in ("other", "home"):
            probed_by = [identity for at, identity, header in bench.heard if at == name and isinstance(header, Ping)]
            asked_by = [identity for at, identity, header in bench.heard if at == name and isinstance(header, Request)]
            assert len({*probed_by, *asked_by}) == len(probed_by) + len(asked_by)
        acks = {source for source, header, _ in bench.told.received_from if isinstance(header, Ack)}
        assert acks == {bench.target()._replace(path=PROBE), HOME._replace(path=PROBE)}

    run(runtime_dir, test)


def test_what_cannot_be_handed_over_is_refused_for_the_instance_it_was_meant_for(runtime_dir: Path) -> None:
    async def test(bench: Bench) -> None:
        address = bench.address
        bench.other.close()
        bench.other = bench.router("other", REQUEST_ROUTER)
        target = Target("box-b", 22, address)
        assert bench.carrier.send(target, request(1, 22), b"")
        assert bench.carrier.send(target._replace(instance=33), request(2, 33), b"")
        await wait_until_async(lambda: len(bench.told.refusals) == 2, SOON_S)
        assert [refused.instance for refused, _ in bench.told.refusals] == [22, 33]
        assert not bench.carrier.send(target, request(3, 22), b"")

    run(runtime_dir, test)


def test_a_lost_connection_is_told(runtime_dir: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.carrier.send(bench.target(), request(1, 22), b"")
        await wait_until_async(lambda: bench.told.received_from, SOON_S)
        bench.other.close()
        await wait_until_async(lambda: ("lost", bench.target()) in bench.told.links, SOON_S)

    run(runtime_dir, test)


def test_replica_topics_are_heard_and_others_are_not(runtime_dir: Path) -> None:
    async def test(bench: Bench) -> None:
        def publish_until_heard() -> bool:
            bench.events.publish(EventHead("box-a", 11, 1), topic=Topic.MEMBER)
            bench.events.publish(ReplicaMark("box-a", 11, 5), topic=Topic.REPLICA)
            return bool(bench.told.published_by_home)

        await wait_until_async(publish_until_heard, SOON_S)
        assert {type(header) for header in bench.told.published_by_home} == {ReplicaMark}

    run(runtime_dir, test)


def test_places_are_kept_for_those_with_a_connection(runtime_dir: Path) -> None:
    async def test(bench: Bench) -> None:
        for number in range(3 * LIMITS.peers_max):
            target = Target(f"box-{number}", number, f"127.0.0.1:{number + 1}")
            bench.carrier._remember(target)
        assert len(bench.carrier._targets) <= 2 * LIMITS.peers_max + 1

    run(runtime_dir, test)
