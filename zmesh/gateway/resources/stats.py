"""What this box has done: ``/stats`` for people and old clients, ``/metrics`` for Prometheus."""

from __future__ import annotations

import falcon.asgi
from msgspec import Struct

from zmesh.gateway.box import Box, CapabilitiesView
from zmesh.gateway.forward import Forwarder
from zmesh.gateway.http import Request, render
from zmesh.telemetry.metrics import CONTENT_TYPE, Metrics, RoutingTotals

__all__ = ["MetricsResource", "StatsResource"]


class Stats(Struct, frozen=True):
    """``GET /stats``: names and nesting are what existing clients read."""

    worker_id: str
    vpn_ip: str
    services: list[str]
    capabilities: CapabilitiesView
    routing: RoutingTotals


class StatsResource:
    """Totals over all workers of this box, whichever of them answers."""

    def __init__(self, box: Box, metrics: Metrics) -> None:
        self._box = box
        self._metrics = metrics

    async def on_get(self, _req: Request, resp: falcon.asgi.Response) -> None:
        """The totals since the gateway started."""
        box = self._box
        stats = Stats(
            worker_id=box.node_id,
            vpn_ip=box.vpn_ip,
            services=box.services(),
            capabilities=box.capabilities(),
            routing=self._metrics.totals(box.now()),
        )
        render(resp, stats)


class MetricsResource:
    """All workers' figures and the node's own."""

    def __init__(self, forwarder: Forwarder, metrics: Metrics) -> None:
        self._forwarder = forwarder
        self._metrics = metrics

    async def on_get(self, _req: Request, resp: falcon.asgi.Response) -> None:
        """Prometheus's text format; without the node's figures while the node is away."""
        figures = await self._forwarder.figures()
        resp.content_type = CONTENT_TYPE
        resp.data = self._metrics.exposition(figures)
