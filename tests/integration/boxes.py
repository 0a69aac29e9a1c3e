"""Two boxes as a gateway sees them, in the test's own process: real sockets, the node's real feed, services that echo.

Run in a thread of its own, so that a test may use plain blocking HTTP. It is not a node: no gossip, no runners.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from zmesh.membership.replica_feed import ReplicaFeed
from zmesh.net.context import close_context, open_context
from zmesh.net.pubsub import XPubSocket
from zmesh.net.router import Route, RouterSocket
from zmesh.wire import Body, Dialect, Topic
from zmesh.wire.control import ControlReply, ControlRequest
from zmesh.wire.dialect import FROM_GATEWAY, REQUEST_ROUTER
from zmesh.wire.event import MemberView, ReplicaRequest
from zmesh.wire.membership import Ack, Ping, State
from zmesh.wire.record import Advertisement, ServiceOffer, encode_record
from zmesh.wire.request import Cancel, Outcome, Reply, Request

TICK_S = 0.05


class Boxes:
    """box-a, whose node serves gateways on ``runtime_dir``, and box-b, which is somewhere else."""

    def __init__(self, runtime_dir: Path) -> None:
        self.runtime_dir = runtime_dir
        self.requests: list[tuple[str, Request]] = []
        self.cancelled: list[tuple[int, int]] = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self) -> "Boxes":
        self._thread.start()
        assert self._ready.wait(5)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Close all sockets, as a stopped node would."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def stop_home(self) -> None:
        """box-a's node is gone; box-b stays."""
        asyncio.run_coroutine_threadsafe(self._close_home(), self._loop).result(5)

    def start_home(self, instance: int) -> None:
        """box-a's node is back, as another instance."""
        asyncio.run_coroutine_threadsafe(self._open_home(instance), self._loop).result(5)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._context = open_context()
        self._sockets: dict[str, RouterSocket] = {}
        self._sockets["box-b"] = self._router("box-b", REQUEST_ROUTER)
        self._address = self._sockets["box-b"].bind("tcp://127.0.0.1:*").removeprefix("tcp://")
        await self._open_home(11)
        self._ready.set()
        await self._stop.wait()
        await self._close_home()
        self._sockets["box-b"].close()
        close_context(self._context)

    async def _open_home(self, instance: int) -> None:
        self._sockets["box-a"] = self._router("box-a", FROM_GATEWAY)
        self._sockets["box-a"].bind(f"ipc://{self.runtime_dir}/gateway.ipc")
        self._events = XPubSocket(self._context, "events")
        self._events.bind(f"ipc://{self.runtime_dir}/events.ipc")
        self._feed = ReplicaFeed("box-a", instance, time.monotonic())
        self._tell("box-a", instance, "127.0.0.1:7400", "word-count")
        self._tell("box-b", 22, self._address, "language-id", "never")
        self._feed.table_synced()
        self._publish()

    async def _close_home(self) -> None:
        self._tick.cancel()
        self._events.close()
        self._sockets.pop("box-a").close()

    def _router(self, name: str, dialect: Dialect) -> RouterSocket:
        return RouterSocket(self._context, name, dialect, self._receiver(name), lambda *_: None)

    def _publish(self) -> None:
        self._feed.handle_timer(time.monotonic())
        for message in self._feed.messages_to_send():
            self._events.publish(message, topic=Topic.REPLICA)
        self._tick = self._loop.call_later(TICK_S, self._publish)

    def _tell(self, node_id: str, instance: int, address: str, *services: str) -> None:
        offers = tuple(ServiceOffer(name, 8) for name in services)
        record = Advertisement(node_id, instance, 1, 1, address, "127.0.0.1:1", offers, http_port=8000)
        view = MemberView(node_id, instance, 1, State.ALIVE, encode_record(record))
        self._feed.member_changed(view, time.monotonic())

    def _receiver(self, node_id: str) -> Callable[[Route, Any, Body], None]:
        def receive(route: Route, header: Any, body: Body) -> None:
            socket = self._sockets[node_id]
            if isinstance(header, ReplicaRequest):
                socket.send(route.identity, self._feed.answer(header, time.monotonic()))
            elif isinstance(header, ControlRequest):
                socket.send(route.identity, ControlReply(header.serial, ok=True), b'{"zmesh_node_figure": 4}')
            elif isinstance(header, Ping):
                socket.send(route.identity, Ack("box-b", 22, 1, header.sequence))
            elif isinstance(header, Cancel):
                self.cancelled.append(header.id)
            elif isinstance(header, Request):
                self.requests.append((node_id, header))
                if header.service != "never":
                    echo = msgspec.json.encode({"bytes": len(body)})
                    socket.send(route.identity, Reply(header.id, Outcome.OK, node_id, "application/json", 5, 900), echo)

        return receive
