"""The Falcon application: which path is which resource. Makes no socket and reads no settings file.

Everything it works on is handed in, so a test gives it a forwarder over a carrier of its own.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import falcon
import falcon.asgi

from zmesh.config.settings import Settings
from zmesh.gateway import problems
from zmesh.gateway.box import Box
from zmesh.gateway.forward import Forwarder
from zmesh.gateway.http import Request
from zmesh.gateway.resources.health import HealthResource, LiveResource, ReadyResource
from zmesh.gateway.resources.mesh import EntryPointsResource, MembersResource, ServicesResource
from zmesh.gateway.resources.openapi import OpenApiResource
from zmesh.gateway.resources.service import ServiceResource
from zmesh.gateway.resources.stats import MetricsResource, StatsResource
from zmesh.telemetry.metrics import Metrics

__all__ = ["create_app"]

App = falcon.asgi.App[Request, falcon.asgi.Response]

Lifespan = Callable[[], Awaitable[None]]


def create_app(
    settings: Settings,
    box: Box,
    forwarder: Forwarder,
    metrics: Metrics,
    *,
    start: Lifespan | None = None,
    stop: Lifespan | None = None,
) -> App:
    """The application of one worker; ``start`` and ``stop`` are awaited at the two ends of its ASGI lifespan."""
    app: App = falcon.asgi.App(request_type=Request, middleware=[_Measured(metrics), _Lifespan(start, stop)])
    app.add_route(
        "/service/{service}", ServiceResource(forwarder, metrics, body_bytes_max=settings.gateway.body_bytes_max)
    )
    app.add_route("/health", HealthResource(box))
    app.add_route("/livez", LiveResource())
    app.add_route("/readyz", ReadyResource(box))
    app.add_route("/stats", StatsResource(box, metrics))
    app.add_route("/metrics", MetricsResource(forwarder, metrics))
    app.add_route("/mesh/members", MembersResource(box))
    app.add_route("/mesh/services", ServicesResource(box))
    app.add_route("/mesh/entrypoints", EntryPointsResource(box))
    app.add_route("/openapi.json", OpenApiResource(box))
    problems.add_handlers(app)
    return app


class _Measured:
    """Counts each answer, before it is sent."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def process_response(self, req: Request, resp: falcon.asgi.Response, resource: Any, _succeeded: bool) -> None:
        template = req.uri_template if resource is not None else None
        self._metrics.answered(template or "(none)", resp.status_code, time.monotonic() - req.started_at)


class _Lifespan:
    """What the worker does at its start and end."""

    def __init__(self, start: Lifespan | None, stop: Lifespan | None) -> None:
        self._start = start
        self._stop = stop

    async def process_startup(self, _scope: Any, _event: Any) -> None:
        if self._start is not None:
            await self._start()

    async def process_shutdown(self, _scope: Any, _event: Any) -> None:
        if self._stop is not None:
            await self._stop()
