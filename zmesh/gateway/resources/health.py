"""Whether this box serves: ``/health`` for people and old clients, ``/livez`` and ``/readyz`` for machines."""

from __future__ import annotations

import falcon.asgi
from msgspec import Struct

from zmesh.gateway.box import Box, Status
from zmesh.gateway.http import Request, render
from zmesh.gateway.problems import Problem

__all__ = ["HealthResource", "LiveResource", "ReadyResource"]


class Health(Struct, frozen=True):
    """``GET /health``: names and nesting are what existing clients read."""

    status: Status
    worker_id: str
    vpn_ip: str
    services: list[str]
    dht_enabled: bool
    uptime: float
    """Seconds since this box's node started."""


class HealthResource:
    """The state of this box in one look."""

    def __init__(self, box: Box) -> None:
        self._box = box

    async def on_get(self, _req: Request, resp: falcon.asgi.Response) -> None:
        """200 whatever the status: that it answers is told by the answer, how it is by ``status``."""
        box = self._box
        render(
            resp,
            Health(
                status=box.status(),
                worker_id=box.node_id,
                vpn_ip=box.vpn_ip,
                services=box.services(),
                dht_enabled=box.dht_enabled,
                uptime=round(box.uptime_s(), 1),
            ),
        )


class LiveResource:
    """Answers while the worker's event loop turns."""

    async def on_get(self, _req: Request, resp: falcon.asgi.Response) -> None:
        """Always 200."""
        render(resp, {"status": "alive"})


class ReadyResource:
    """Ready for traffic once this worker knows the mesh."""

    def __init__(self, box: Box) -> None:
        self._box = box

    async def on_get(self, _req: Request, resp: falcon.asgi.Response) -> None:
        """200, or 503 before the first snapshot of the table and while this box drains."""
        if not self._box.synced:
            raise Problem(503, "not-ready", "The table of the mesh has not come yet", retryable=True, retry_after_s=1)
        if self._box.status() is Status.DRAINING:
            raise Problem(503, "draining", "This box is leaving the mesh", retryable=True, retry_after_s=1)
        render(resp, {"status": "ready"})
