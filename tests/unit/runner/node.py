"""A node as a runner sees it: a real ROUTER on runner.ipc, in the test's hands; and real runner processes."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zmq

from tests.polling import wait_until
from zmesh.wire import RUNNER_VERSION, decode, encode
from zmesh.wire.dialect import FROM_RUNNER
from zmesh.wire.request import Attached, Ready, Request

ROOT = Path(__file__).parents[3]
SERVICES = Path(__file__).parent / "services"


class Node:
    """Binds ``path``; takes messages when asked to, and answers READY with ATTACHED as a node does."""

    def __init__(self, path: Path, instance: int = 77, high_water_messages: int = 1000) -> None:
        self.path = path
        self.instance = instance
        self.readies: list[Ready] = []
        self.routes: list[bytes] = []
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.set(zmq.LINGER, 0)
        self._socket.set(zmq.RCVHWM, high_water_messages)
        self._socket.set(zmq.ROUTER_MANDATORY, 1)
        self._socket.bind(f"ipc://{path}")

    def close(self) -> None:
        self._context.destroy(linger=0)

    def send(self, route: bytes, header: Any, body: bytes = b"") -> None:
        self._socket.send_multipart([route, *encode(header, body, version=RUNNER_VERSION)])

    def receive(self) -> tuple[bytes, Any, bytes] | None:
        """The next message that is there; READY is answered."""
        try:
            route, *frames = self._socket.recv_multipart(zmq.DONTWAIT)
        except zmq.Again:
            return None
        header, body = decode(frames, FROM_RUNNER)
        if isinstance(header, Ready):
            self.readies.append(header)
            if route not in self.routes:
                self.routes.append(route)
            if header.node_instance != self.instance:
                self.send(route, Attached("box", self.instance))
        return route, header, bytes(body)

    def expect(self, kind: type, timeout_s: float = 10.0) -> tuple[bytes, Any, bytes]:
        """The next message of this kind, passing over READY."""

        def found() -> tuple[bytes, Any, bytes] | None:
            message = self.receive()
            while message is not None and isinstance(message[1], Ready) and kind is not Ready:
                message = self.receive()
            return message

        message = wait_until(found, timeout_s, interval_s=0.005, what=f"a {kind.__name__} from the runner")
        assert isinstance(message[1], kind), message
        return message

    def attached(self, connections: int = 1) -> list[bytes]:
        """Wait until so many connections have said READY."""

        def all_there() -> bool:
            self.receive()
            return len(self.routes) >= connections

        wait_until(all_there, 20.0, interval_s=0.005, what=f"READY on {connections} connections")
        return self.routes

    def ask(self, route: bytes, serial: int, body: bytes, **fields: Any) -> None:
        defaults = {"service": "sample", "remaining_ms": 60_000, "content_type": "application/json"}
        self.send(route, Request((9, serial), self.instance, **(defaults | fields)), body)


class Runner:
    """A runner process of a function of services/sample.py; its log is kept."""

    def __init__(self, path: Path, function: str, *arguments: str, module: str = "sample") -> None:
        self.log_path = path.with_name(f"{function}.log")
        what = ("sample", "--target", f"{module}:{function}", "--socket", str(path))
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "zmesh.runner", *what, *arguments],
                cwd=SERVICES,
                env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
                stdout=log,
                stderr=log,
            )

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def ended(self, timeout_s: float = 10.0) -> int:
        return self.process.wait(timeout_s)

    def logged(self, text: str) -> None:
        wait_until(lambda: text in self.log, 10.0, what=f"{text!r} in the runner's log")

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)


Start = Callable[..., tuple[Node, Runner]]
