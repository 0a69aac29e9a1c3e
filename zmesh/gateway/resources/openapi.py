"""``/openapi.json``: the document of ``zmesh.gateway.openapi`` for the mesh of this moment."""

from __future__ import annotations

import falcon.asgi

from zmesh import __version__
from zmesh.gateway.box import Box
from zmesh.gateway.http import Request, render
from zmesh.gateway.openapi import describe
from zmesh.gateway.resources.mesh import services_of

__all__ = ["OpenApiResource"]


class OpenApiResource:
    """``GET /openapi.json``."""

    def __init__(self, box: Box) -> None:
        self._box = box

    async def on_get(self, _req: Request, resp: falcon.asgi.Response) -> None:
        """The routes of this gateway and a path for each service of the mesh."""
        render(resp, describe(services_of(self._box), __version__))
