"""A gateway worker without sockets: its real application, router and replica over a wire that the test holds.

Time is the loop's own and stands still while anything can be done: a wait of a minute takes no time.
"""

import asyncio
import json
import random
import selectors
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import msgspec
from falcon import testing

from zmesh.config.gateway import GatewayConfig
from zmesh.config.limits import HttpLimits, RoutingLimits
from zmesh.config.node import MeshConfig, NodeConfig, VpnConfig
from zmesh.config.settings import Settings
from zmesh.gateway.app import create_app
from zmesh.gateway.asgi import routing_limits
from zmesh.gateway.box import Box
from zmesh.gateway.forward import Forwarder
from zmesh.membership.replica import Replica
from zmesh.routing.router import Router
from zmesh.routing.target import LOCAL, Target
from zmesh.telemetry.metrics import Metrics
from zmesh.wire import Body, Header
from zmesh.wire.control import ControlReply, ControlRequest
from zmesh.wire.event import MemberView, ReplicaMark, ReplicaRequest, ReplicaSnapshot, ReplicaUpdate
from zmesh.wire.membership import State
from zmesh.wire.record import Advertisement, Capabilities, Gpu, ServiceOffer, encode_record
from zmesh.wire.request import Outcome, Reply, Request

T = TypeVar("T")
HOME = Target("box-a", 11, "", LOCAL)
JSON = {"content-type": "application/json"}

SETTINGS = Settings(
    node=NodeConfig(id="box-a"),
    vpn=VpnConfig(address="10.42.0.1"),
    gateway=GatewayConfig(body_bytes_max=1_000, timeout_default_s=20.0),
)


class _Leaping(selectors.DefaultSelector):
    """Instead of waiting for a timer, says how long that would have been."""

    def __init__(self) -> None:
        super().__init__()
        self.leapt_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready and timeout is not None:
            self.leapt_s += timeout
        return ready


class SteppedLoop(asyncio.SelectorEventLoop):
    """A loop whose clock moves only when there is nothing else to do."""

    def __init__(self) -> None:
        self._leaping = _Leaping()
        super().__init__(self._leaping)

    def time(self) -> float:
        return 1_000.0 + self._leaping.leapt_s


class Sent(NamedTuple):
    """A request that reached the wire."""

    target: Target
    header: Request
    body: bytes


@dataclass(frozen=True)
class Member:
    """A box as the table has it."""

    node_id: str
    instance: int
    services: tuple[str, ...] = ()
    state: State = State.ALIVE
    draining: bool = False
    http_port: int = 8000
    gpu: str = ""
    incarnation: int = 1

    @property
    def ip(self) -> str:
        return f"10.42.0.{self.instance // 11}"

    def view(self) -> MemberView:
        gpus = (Gpu(0, self.gpu, 24 << 30),) if self.gpu else ()
        record = Advertisement(
            self.node_id,
            self.instance,
            self.incarnation,
            1,
            f"{self.ip}:7400",
            f"{self.ip}:7401",
            tuple(ServiceOffer(name, 1, 0, (), f"Does {name}") for name in self.services),
            Capabilities(8, 64 << 30, gpus),
            self.draining,
            "0.1.0",
            self.http_port,
        )
        return MemberView(
            self.node_id, self.instance, self.incarnation, self.state, encode_record(record), b"", 0, 1_500
        )


def answer_ok(sent: Sent) -> tuple[Header, bytes]:
    """What a service says that takes whatever comes."""
    reply = Reply(sent.header.id, Outcome.OK, sent.target.node_id, "application/json", 40, 2_000)
    return reply, msgspec.json.encode({"echo": sent.body.decode("latin-1")})


class World:
    """The gateway of box-a and what is beyond its wire."""

    def __init__(self, settings: Settings = SETTINGS, routing: RoutingLimits | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        self.replica = Replica(7)
        self.metrics = Metrics(services_max=100)
        gateway = settings.gateway
        self.router = Router(
            7,
            "box-a",
            self.replica,
            routing or routing_limits(settings),
            random.Random(1),
            spill_over_queue=gateway.spill_over_queue,
            remote_enabled=settings.mesh.dht_enabled,
        )
        self.forwarder = Forwarder(self.router, self.replica, self.metrics, self.loop.time, HttpLimits())
        self.box = Box(settings, HttpLimits(), self.replica, self.loop.time, self.forwarder.silence_s)
        self.app = create_app(settings, self.box, self.forwarder, self.metrics, start=self._start, stop=self._stop)
        self.sent: list[Sent] = []
        self.others: list[Header] = []
        self.answer: Callable[[Sent], tuple[Header, bytes] | None] = answer_ok
        self.refusing: set[str] = set()
        self.figures: bytes | None = b"{}"
        self._sequence = 0

    async def _start(self) -> None:
        self.forwarder.start(self)

    async def _stop(self) -> None:
        self.forwarder.stop()

    # What the forwarder sees of the wire

    def send(self, target: Target, header: Header, body: Body) -> bool:
        if target.node_id in self.refusing:
            return False
        if not isinstance(header, Request):
            self.others.append(header)
            return True
        sent = Sent(target, header, bytes(body))
        self.sent.append(sent)
        answer = self.answer(sent)
        if answer is not None:
            self.loop.call_soon(self.forwarder.received, target, *answer)
        return True

    def send_home(self, header: Header, body: Body = b"") -> bool:
        if HOME.node_id in self.refusing:
            return False
        if isinstance(header, ControlRequest) and self.figures is not None:
            reply = ControlReply(header.serial, ok=True)
            self.loop.call_soon(self.forwarder.received, HOME, reply, self.figures)
        elif not isinstance(header, ReplicaRequest):
            self.others.append(header)
        return True

    # What the node says of the table

    def knows(self, *members: Member) -> None:
        """The node tells the whole table."""
        views = tuple(sorted((member.view() for member in members), key=lambda view: view.node_id))
        snapshot = ReplicaSnapshot("box-a", 11, self._sequence, "", True, True, 5_000, views)
        self.forwarder.received(HOME, snapshot, b"")

    def hears(self, *members: Member) -> None:
        """The node tells of changes."""
        self._sequence += 1
        update = ReplicaUpdate("box-a", 11, self._sequence, tuple(member.view() for member in members), (), True)
        self.forwarder.published(update, b"")

    async def passes(self, seconds: float) -> None:
        """Time goes by."""
        passed = self.loop.create_future()
        self.loop.call_later(seconds, passed.set_result, None)
        await passed

    def mark(self) -> None:
        """The node shows that it is there."""
        self.forwarder.published(ReplicaMark("box-a", 11, self._sequence), b"")


class Client:
    """HTTP to a world's application."""

    def __init__(self, conductor: testing.ASGIConductor) -> None:
        self._conductor = conductor

    async def get(self, path: str) -> testing.Result:
        return await self._conductor.simulate_get(path)

    async def request(self, method: str, path: str) -> testing.Result:
        return await self._conductor.simulate_request(method, path)

    async def post(self, path: str, body: bytes | str = b"{}", headers: dict[str, str] | None = None) -> testing.Result:
        return await self._conductor.simulate_post(path, body=body, headers={**JSON, **(headers or {})})


def run(test: Callable[[World, Client], Awaitable[T]], **world: Any) -> T:
    """Run ``test`` in a world of its own; it fails, rather than hangs, when it waits for ever."""

    async def main() -> T:
        made = World(**world)
        async with asyncio.timeout(10_000), testing.ASGIConductor(made.app) as conductor:
            return await test(made, Client(conductor))

    with asyncio.Runner(loop_factory=SteppedLoop) as runner:
        return runner.run(main())


def without_dht(settings: Settings = SETTINGS) -> Settings:
    return msgspec.structs.replace(settings, mesh=MeshConfig(dht_enabled=False))


def problem(result: testing.Result, status: int) -> dict[str, Any]:
    """The document of an answer that must be a problem with every promised field."""
    assert result.status_code == status, result.text
    assert result.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = json.loads(result.content)
    assert document["status"] == status
    assert {"type", "title", "detail", "executed", "retryable", "attempts"} <= document.keys()
    return document
