"""gunicorn, run from zmesh's settings: the master process of a box's gateway.

Decides how many workers there are, on which port, and what happens when the port is taken. The master imports no
application and opens no ZeroMQ context: neither survives a fork.
"""

from __future__ import annotations

import os
import socket
from math import ceil
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from zmesh.config.address import split_address
from zmesh.config.limits import HttpLimits
from zmesh.config.settings import Settings
from zmesh.errors import ConfigurationError
from zmesh.net.ports import who_listens
from zmesh.telemetry import log, metrics

__all__ = ["run"]

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  (gunicorn makes its own file with a random name there)


def run(settings: Settings) -> int:
    """Serve HTTP until SIGTERM or SIGINT; the exit status. Raises ConfigurationError, nothing started, when the port
    or the runtime directory cannot be had."""
    log.set_up("gateway", node_id=settings.node.id, level=settings.node.log_level, log_format=settings.node.log_format)
    listener = _listen(settings.gateway.bind)
    try:
        metrics.prepare_directory(Path(settings.node.runtime_dir, "metrics"))
    except OSError as error:
        raise ConfigurationError(
            f"node.runtime_dir {settings.node.runtime_dir!r} cannot be written to: {error.strerror}"
        ) from None
    log.get_logger().warning("HTTP is open to whoever reaches it", bind=settings.gateway.bind)
    try:
        _Master(settings, listener).run()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    return 0


def _listen(bind: str) -> int:
    """The listening socket's descriptor, gunicorn's to close from then on.

    Made here since gunicorn answers a taken port with five seconds of retries.
    """
    try:
        ip, port = split_address(bind)
    except ValueError as error:
        raise ConfigurationError(f"gateway.bind: {error}") from None
    family = socket.AF_INET6 if ip.version == 6 else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((str(ip), port))
        listener.listen(HttpLimits().backlog)
    except OSError as error:
        listener.close()
        holder = who_listens(str(ip), port)
        why = f"the port is taken by {holder}" if holder else error.strerror
        raise ConfigurationError(f"cannot listen on {bind}: {why}; set gateway.bind to another") from None
    return listener.detach()


class _Logger(Logger):  # type: ignore[misc]
    """gunicorn's lines go where this process's other lines go."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for logger in (self.error_log, self.access_log):
            logger.handlers.clear()
        self.error_log.propagate = True
        self.error_log.setLevel(0)


class _Master(BaseApplication):  # type: ignore[misc]
    """gunicorn with its configuration given by program."""

    def __init__(self, settings: Settings, listener: int) -> None:
        self._settings = settings
        self._listener = listener
        super().__init__()

    def load_config(self) -> None:
        """Called by gunicorn's constructor."""
        from zmesh.gateway.worker import bounded

        gateway, limits = self._settings.gateway, HttpLimits()
        for name, value in {
            "bind": f"fd://{self._listener}",
            "workers": gateway.workers,
            "worker_class": bounded(gateway.body_timeout_s, gateway.graceful_timeout_s, limits),
            "worker_tmp_dir": str(_SHARED_MEMORY)
            if os.access(_SHARED_MEMORY, os.W_OK)
            else self._settings.node.runtime_dir,
            # A worker ends by itself in time; the master must not kill it while it says its last answers.
            "graceful_timeout": ceil(gateway.graceful_timeout_s + limits.last_answer_s + limits.kill_margin_s),
            "keepalive": limits.keep_alive_s,
            "backlog": limits.backlog,
            "preload_app": False,
            # Would write a socket into the home directory.
            "control_socket_disable": True,
            "logger_class": _Logger,
            "proc_name": "zmesh-gateway",
            "child_exit": _forget,
        }.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """Called in each worker, after the fork."""
        from zmesh.gateway.asgi import application

        return application(self._settings)


def _forget(_arbiter: Any, worker: Any) -> None:
    metrics.forget_worker(worker.pid)
