"""What is published on a box, heard by a real subscriber."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.polling import wait_until_async
from tests.unit.node.nodes import SOON_S, keep, open_sockets, run, short_directory
from zmesh.dispatch.event import RequestEnded
from zmesh.membership.replica_feed import ReplicaFeed
from zmesh.net.endpoints import ipc_endpoint
from zmesh.net.pubsub import SubSocket, XPubSocket
from zmesh.node.events import Events
from zmesh.wire import Kind, Topic
from zmesh.wire.dialect import EVENTS
from zmesh.wire.event import EventHead, MemberView, ReplicaMark, ReplicaUpdate, decode_event
from zmesh.wire.membership import State
from zmesh.wire.record import Advertisement, Capabilities, ServiceOffer, encode_record
from zmesh.wire.request import Outcome, Reason

MONITORED = (Topic.MEMBER, Topic.SERVICE, Topic.REQUEST, Topic.SOCKET, Topic.LOG)


class Monitor:
    """A subscriber of everything; ``events`` is what it heard with the number of each in its topic."""

    subscriber: SubSocket

    def __init__(self, events: Events) -> None:
        self.published = events
        self.events: list[tuple[int, Any]] = []
        self.replica: list[Any] = []

    def hear(self, header: Any, body: Any) -> None:
        if isinstance(header, EventHead):
            self.events.append((header.sequence, decode_event(body)))
        else:
            self.replica.append(header)

    async def settled(self) -> list[tuple[int, Any]]:
        """All events of before this call: a last one, of its own, has come."""
        self.published.socket_changed("end", "", "")
        await wait_until_async(lambda: any(getattr(e, "socket", "") == "end" for _, e in self.events), SOON_S)
        return [(number, event) for number, event in self.events if getattr(event, "socket", "") != "end"]


@asynccontextmanager
async def monitored(topics: tuple[Topic, ...] = MONITORED) -> AsyncIterator[Monitor]:
    with short_directory() as directory, open_sockets() as context:
        publisher = XPubSocket(context, "events")
        publisher.bind(ipc_endpoint(directory / "events.ipc"))
        events = Events(ReplicaFeed("box", 9, asyncio.get_running_loop().time()), publisher, "box", 9)
        monitor = Monitor(events)
        sub = monitor.subscriber = SubSocket(context, "monitor", EVENTS, monitor.hear)
        keep(publisher, sub, events)
        for topic in topics:
            sub.subscribe(Kind.EVENT, topic)
        sub.subscribe(Kind.REPLICA_UPDATE, Topic.REPLICA)
        sub.subscribe(Kind.REPLICA_MARK, Topic.REPLICA)
        sub.connect(ipc_endpoint(directory / "events.ipc"))
        # Marks are repeated: with one heard, the subscription stands.
        await wait_until_async(lambda: any(isinstance(m, ReplicaMark) for m in monitor.replica), SOON_S)
        yield monitor


def view(
    services: tuple[str, ...], state: State = State.ALIVE, rtt_us: int = 0, *, draining: bool = False
) -> MemberView:
    record = Advertisement(
        node_id="b",
        instance=4,
        incarnation=2,
        sequence=1,
        request_address="127.0.0.1:7400",
        gossip_address="127.0.0.1:7401",
        services=tuple(ServiceOffer(name, 1) for name in services),
        capabilities=Capabilities(cpus=1, memory_bytes=1),
        draining=draining,
    )
    return MemberView("b", 4, 2, state, encode_record(record), rtt_us=rtt_us)


def test_a_member_is_told_when_it_changed_and_not_when_its_load_did() -> None:
    async def test() -> None:
        async with monitored() as monitor:
            for rtt_us in range(5):
                monitor.published.member_changed(view(("ocr",), rtt_us=rtt_us))
            monitor.published.member_changed(view(("ocr", "llm")))
            monitor.published.member_changed(view(("ocr", "llm"), draining=True))
            monitor.published.member_changed(view(("ocr", "llm"), State.DEAD, draining=True))
            monitor.published.member_forgotten("b")
            monitor.published.member_changed(view(("ocr", "llm"), State.DEAD, draining=True))
            told = [(n, e.state, e.services, e.reason) for n, e in await monitor.settled()]
            assert told == [
                (1, "alive", ["ocr"], ""),
                (2, "alive", ["ocr", "llm"], ""),
                (3, "alive", ["ocr", "llm"], "draining"),
                (4, "dead", ["ocr", "llm"], "draining"),
                (5, "forgotten", [], ""),
                (6, "dead", ["ocr", "llm"], "draining"),
            ]
            # the gateways' replicas get every change, load included
            updates = [m for m in monitor.replica if isinstance(m, ReplicaUpdate)]
            assert len(updates) == 10

    run(test())


def test_each_topic_has_its_own_count() -> None:
    async def test() -> None:
        async with monitored() as monitor:
            published = monitor.published
            published.service_changed("ocr", "up", 1)
            published.request_ended(RequestEnded((7, 1), "ocr", Outcome.OK, 1500, 2500))
            published.request_ended(RequestEnded((7, 2), "ocr", Reason.BUSY))
            published.socket_changed("peer", "127.0.0.1:7400", "lost")
            published.logged("error", "it broke", {"why": "age"})
            published.logged("error", "again", {}, missed=4)
            events = await monitor.settled()
            assert [n for n, _ in events] == [1, 1, 2, 1, 1, 6]
            up, ok, busy, lost, broke, _again = [event for _, event in events]
            assert (up.service, up.state, up.runners) == ("ocr", "up", 1)
            assert (ok.outcome, ok.queue_ms, ok.run_ms, busy.outcome) == ("ok", 1.5, 2.5, "busy")
            assert (lost.socket, lost.peer, lost.change) == ("peer", "127.0.0.1:7400", "lost")
            assert (broke.level, broke.message, broke.fields) == ("error", "it broke", {"why": "age"})

    run(test())


def test_text_from_anywhere_fits_and_what_does_not_is_a_gap() -> None:
    async def test() -> None:
        async with monitored() as monitor:
            published = monitor.published
            published.service_changed("ocr", "s" * 300, 0, "\ud800" + "d" * 5_000)
            published.request_ended(RequestEnded((7, 1), "ocr", Outcome.RAISED, detail="e" * 5_000))
            published.socket_changed("peer", "p" * 300, "lost")
            published.logged("warning", "m" * 5_000, {})
            published.logged("warning", "too much", {f"{n}": "v" * 4_000 for n in range(20)})
            published.logged("warning", "next", {})
            events = await monitor.settled()
            assert [n for n, _ in events] == [1, 1, 1, 1, 3]
            service, request, socket, line, _next = [event for _, event in events]
            assert (len(service.state), len(service.detail), service.detail[0]) == (255, 4096, "?")
            assert len(request.detail) == len(line.message) == 4096
            assert len(socket.peer) == 255

    run(test())


def test_an_event_that_nobody_hears_is_counted_all_the_same() -> None:
    async def test() -> None:
        async with monitored((Topic.SOCKET,)) as monitor:
            published = monitor.published
            published.request_ended(RequestEnded((7, 1), "ocr", Outcome.OK))
            sub = monitor.subscriber
            sub.subscribe(Kind.EVENT, Topic.REQUEST)

            def heard() -> bool:
                published.request_ended(RequestEnded((7, 2), "ocr", Outcome.OK))
                return any(getattr(event, "service", "") == "ocr" for _, event in monitor.events)

            await wait_until_async(heard, SOON_S)
            requests = [number for number, event in monitor.events if getattr(event, "service", "") == "ocr"]
            assert requests[0] > 1

    run(test())
