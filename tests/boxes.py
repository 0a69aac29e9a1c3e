"""Real boxes for tests and benchmarks: daemons started from configuration files, and a plain HTTP client to ask them.

A box lives at an address of its own, on loopback or on a host of ``tests.hosts.network``. What a test starts here it
ends here, by the process ids it got.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from tests.hosts.network import Host
from tests.polling import wait_until

__all__ = ["SERVICES", "Answer", "Box", "Process", "ask", "service"]

SERVICES = Path(__file__).parent / "services"
"""Modules with the services that tests call."""

HTTP_PORT = 8000
READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Answer:
    """An HTTP answer and how long it took."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    address: str,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    host: Host | None = None,
    port: int = HTTP_PORT,
    timeout_s: float = 30.0,
) -> Answer:
    """One request on a connection of its own, made from ``host`` when one is given. Raises OSError when refused."""

    def connect() -> socket.socket:
        return socket.create_connection((address, port), timeout_s)

    began = time.monotonic()
    connection = http.client.HTTPConnection(address, port, timeout=timeout_s)
    connection.sock = host.within(connect) if host is not None else connect()
    try:
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    names = {name.lower(): value for name, value in answer.getheaders()}
    return Answer(answer.status, names, content, time.monotonic() - began)


class Process:
    """A daemon in a session of its own, its log in a file."""

    def __init__(self, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self._log: IO[bytes] = log.open("ab")
        self._popen = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=dict(os.environ) | dict(env or {}),
        )
        self.pid = self._popen.pid

    @property
    def is_running(self) -> bool:
        return self._popen.poll() is None

    def kill(self) -> None:
        """SIGKILL, to this process alone."""
        self._popen.kill()
        self.wait()

    def send(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    def wait(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        status = self._popen.wait(timeout_s)
        self._log.close()
        return status

    def stop(self) -> int:
        """SIGTERM and its exit status; SIGKILL when it takes too long."""
        if self.is_running:
            self._popen.terminate()
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            self.kill()
            raise


def service(name: str, target: str, **settings: Any) -> dict[str, Any]:
    """A ``[[service]]`` table; ``target`` is one of the modules in tests/services."""
    return {"name": name, "target": target, "working_dir": str(SERVICES), **settings}


@dataclass
class Box:
    """One box: its configuration and, once started, its node and gateway."""

    node_id: str
    address: str
    directory: Path
    services: Sequence[Mapping[str, Any]] = ()
    seeds: Sequence[str] = ()
    host: Host | None = None
    workers: int = 1
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """More settings, by section."""
    node: Process | None = None
    gateway: Process | None = None

    @property
    def runtime_dir(self) -> Path:
        return self.directory / "run"

    @property
    def log(self) -> str:
        """Everything its daemons have said."""
        return "".join(file.read_text() for file in sorted(self.directory.glob("*.log")))

    def write_configuration(self) -> Path:
        """The box's TOML file; made anew by every start."""
        sections: dict[str, dict[str, Any]] = {
            "node": {
                "id": self.node_id,
                "state_dir": str(self.directory / "state"),
                "runtime_dir": str(self.runtime_dir),
            },
            "vpn": {"address": self.address},
            "mesh": {"seeds": list(self.seeds)},
            "gateway": {"bind": f"{self.address}:{HTTP_PORT}", "workers": self.workers},
        }
        for name, settings in self.settings.items():
            sections[name] |= settings
        lines = [f"[{name}]\n{_lines(settings)}" for name, settings in sections.items()]
        lines += [f"[[service]]\n{_lines(table)}" for table in self.services]
        self.directory.mkdir(parents=True, exist_ok=True)
        file = self.directory / "zmesh.toml"
        file.write_text("\n".join(lines))
        return file

    def start(self, *, launch: bool = True) -> Box:
        """Node and gateway; returns at once."""
        self.start_node(launch=launch)
        self.start_gateway()
        return self

    def start_node(self, *, launch: bool = True) -> Process:
        self.node = self.run("node", *(["--launch"] if launch else []))
        return self.node

    def start_gateway(self) -> Process:
        self.gateway = self.run("gateway")
        return self.gateway

    def run(self, verb: str, *arguments: str, env: Mapping[str, str] | None = None) -> Process:
        """A daemon of this box; not remembered."""
        command = [sys.executable, "-m", "zmesh", verb, "--config", str(self.write_configuration()), *arguments]
        if self.host is not None:
            command = self.host.command(*command)
        return Process(command, self.directory / f"{verb}.log", env)

    def stop(self) -> None:
        """End gateway and node, in this order; they must end by themselves."""
        for process in (self.gateway, self.node):
            if process is not None and process.is_running:
                process.stop()

    def ask(self, method: str, path: str, body: bytes | None = None, **arguments: Any) -> Answer:
        return ask(self.address, method, path, body, host=self.host, **arguments)

    def call(self, name: str, value: Any, headers: Mapping[str, str] | None = None, **arguments: Any) -> Answer:
        """POST /service/NAME with JSON."""
        headers = {"Content-Type": "application/json", **(headers or {})}
        return self.ask("POST", f"/service/{name}", json.dumps(value).encode(), headers=headers, **arguments)

    def members(self) -> dict[str, str]:
        """State by node id, as this box's gateway tells; empty while it does not answer."""
        try:
            answer = self.ask("GET", "/mesh/members", timeout_s=2.0)
        except OSError:
            return {}
        return {member["node_id"]: member["state"] for member in answer.json["members"]}

    def services_seen(self) -> dict[str, list[str]]:
        """Node ids by service, as this box's gateway tells; empty while it does not answer."""
        try:
            answer = self.ask("GET", "/mesh/services", timeout_s=2.0)
        except OSError:
            return {}
        return {seen["name"]: [node["node_id"] for node in seen["nodes"]] for seen in answer.json["services"]}

    def wait_for_service(self, name: str, nodes: int = 1, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Until this box's gateway knows ``nodes`` nodes that offer it."""
        wait_until(
            lambda: len(self.services_seen().get(name, ())) >= nodes,
            timeout_s,
            what=f"{self.node_id} sees {name} on {nodes} nodes",
        )


def _lines(settings: Mapping[str, Any]) -> str:
    """TOML's strings, numbers, booleans and lists are written as JSON's; a table only occurs as env, inline."""
    return "".join(f"{key} = {_value(value)}\n" for key, value in settings.items())


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_value(item)}" for key, item in value.items()) + " }"
    return json.dumps(value)
