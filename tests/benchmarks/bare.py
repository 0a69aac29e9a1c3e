"""The least a Falcon application does under the gateway's own worker: what HTTP itself costs."""

from __future__ import annotations

import sys
from typing import Any

import falcon.asgi
from gunicorn.app.base import BaseApplication

from zmesh.config.limits import HttpLimits
from zmesh.gateway.worker import bounded


class Echo:
    async def on_post(self, request: falcon.asgi.Request, response: falcon.asgi.Response) -> None:
        response.content_type = "application/json"
        response.data = await request.stream.read()


class Bare(BaseApplication):
    def load_config(self) -> None:
        for name, value in {
            "bind": sys.argv[1],
            "worker_class": bounded(30.0, 30.0, HttpLimits()),
            "workers": 1,
            "control_socket_disable": True,
            "loglevel": "warning",
        }.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        app = falcon.asgi.App()
        app.add_route("/", Echo())
        return app


if __name__ == "__main__":
    Bare().run()
