"""What gunicorn loads in each worker: the parts put together, nothing started before the ASGI lifespan begins."""

from __future__ import annotations

import random
import secrets
import time
from pathlib import Path

import msgspec

from zmesh.config.limits import HttpLimits, RoutingLimits
from zmesh.config.settings import Settings
from zmesh.gateway.app import App, create_app
from zmesh.gateway.box import Box
from zmesh.gateway.carrier import SocketCarrier
from zmesh.gateway.forward import Forwarder
from zmesh.membership.replica import Replica
from zmesh.routing.router import Router
from zmesh.routing.target import LOCAL, Target
from zmesh.telemetry.log import get_logger
from zmesh.telemetry.metrics import Metrics

__all__ = ["application"]

log = get_logger()


def application(settings: Settings) -> App:
    """The application of one worker of the box that ``settings`` describes."""
    asker = secrets.randbits(64)
    routing, http = routing_limits(settings), HttpLimits()
    replica = Replica(asker)
    router = Router(
        asker,
        settings.node.id,
        replica,
        routing,
        random.Random(asker),
        spill_over_queue=settings.gateway.spill_over_queue,
        remote_enabled=settings.mesh.dht_enabled,
    )
    metrics = Metrics(services_max=http.services_counted_max)
    forwarder = Forwarder(router, replica, metrics, time.monotonic, http)
    sockets = _Sockets(settings, routing, http, forwarder)
    box = Box(settings, http, replica, time.monotonic, forwarder.silence_s)
    return create_app(settings, box, forwarder, metrics, start=sockets.open, stop=sockets.close)


def routing_limits(settings: Settings) -> RoutingLimits:
    """The router's bounds, with what the operator may set put in."""
    return msgspec.structs.replace(
        RoutingLimits(),
        finger_ttl_s=settings.gateway.finger_ttl_s,
        timeout_default_s=settings.gateway.timeout_default_s,
    )


class _Sockets:
    """The worker's ZeroMQ side, from the lifespan's start to its end."""

    def __init__(self, settings: Settings, limits: RoutingLimits, http: HttpLimits, forwarder: Forwarder) -> None:
        self._runtime_dir = Path(settings.node.runtime_dir)
        self._home = Target(settings.node.id, 0, "", LOCAL)
        self._limits = limits
        self._table_wait_s = http.table_wait_s
        self._forwarder = forwarder
        self._carrier: SocketCarrier | None = None

    async def open(self) -> None:
        """In the worker, after the fork, which no ZeroMQ context survives; no request is taken before this ends."""
        self._carrier = SocketCarrier(self._runtime_dir, self._home, self._forwarder, self._limits)
        self._forwarder.start(self._carrier)
        if not await self._forwarder.table_known(self._table_wait_s):
            log.warning("the table has not come yet, taking requests without it")

    async def close(self) -> None:
        """Nothing is under way any more, or its time is up."""
        self._forwarder.stop()
        if self._carrier is not None:
            self._carrier.close()
