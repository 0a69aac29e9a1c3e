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
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.hosts.network import Host
from tests.polling import wait_until
from zmesh.cli.control import NotRunning, ask_node
from zmesh.config.node import RUNNER_SOCKET

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
    """One request on a connection of its own, made from ``host`` when one is given.

    Raises OSError when the connection is refused, or ends before the answer does.
    """

    def connect() -> socket.socket:
        return socket.create_connection((address, port), timeout_s)

    began = time.monotonic()
    connection = http.client.HTTPConnection(address, port, timeout=timeout_s)
    connection.sock = host.within(connect) if host is not None else connect()
    try:
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        content = answer.read()
    except http.client.HTTPException as error:
        raise ConnectionError(f"{method} {path} at {address}: {error!r}") from error
    finally:
        connection.close()
    names = {name.lower(): value for name, value in answer.getheaders()}
    return Answer(answer.status, names, content, time.monotonic() - began)


class Process:
    """A daemon in a session of its own, its log in a file."""

    def __init__(
        self, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=dict(os.environ) | dict(env or {}),
                cwd=cwd,
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
        return self._popen.wait(timeout_s)

    @property
    def children(self) -> list[int]:
        """Ids of the processes that its main thread has started and that it has not waited for yet."""
        return list(map(int, Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()))

    def stop(self) -> int:
        """SIGTERM and its exit status; SIGKILL, and the error told, when it takes too long."""
        if self.is_running:
            self._popen.terminate()
            self._popen.send_signal(signal.SIGCONT)  # in case a test has frozen it
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
    env: Mapping[str, str] = field(default_factory=dict)
    """Environment variables of its daemons, beside the test's own."""
    node: Process | None = None
    gateway: Process | None = None
    runners: list[Process] = field(default_factory=list)
    """Those started by hand; the node's own end with it."""

    @property
    def runtime_dir(self) -> Path:
        return self.directory / "run"

    @property
    def log(self) -> str:
        """Everything its daemons have said."""
        return "".join(file.read_text(errors="replace") for file in sorted(self.directory.glob("*.log")))

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

    def start_runner(self, name: str, target: str) -> Process:
        """A runner that this box's node did not launch, as a service manager would start it."""
        command = [
            *(sys.executable, "-m", "zmesh.runner", name, "--target", target),
            *("--socket", str(self.runtime_dir / RUNNER_SOCKET)),
        ]
        self.runners.append(Process(command, self.directory / f"runner-{name}.log", cwd=SERVICES))
        return self.runners[-1]

    def run(self, verb: str, *arguments: str) -> Process:
        """A daemon of this box; not remembered."""
        command = [sys.executable, "-m", "zmesh", verb, "--config", str(self.write_configuration()), *arguments]
        if self.host is not None:
            command = self.host.command(*command)
        return Process(command, self.directory / f"{verb}.log", self.env)

    def stop(self) -> None:
        """End gateway, runners and node, in this order; they must end by themselves."""
        with ExitStack() as stack:
            for process in (self.node, *self.runners, self.gateway):
                if process is not None and process.is_running:
                    stack.callback(process.stop)

    def kill_gateway(self) -> None:
        """SIGKILL to gunicorn's master and all its workers, as one."""
        assert self.gateway is not None
        workers = self.gateway.children
        self.gateway.kill()
        for pid in workers:
            with suppress(ProcessLookupError):  # ended with its master
                os.kill(pid, signal.SIGKILL)

    def ask(self, method: str, path: str, body: bytes | None = None, **arguments: Any) -> Answer:
        return ask(self.address, method, path, body, host=self.host, **arguments)

    def call(self, name: str, value: Any, headers: Mapping[str, str] | None = None, **arguments: Any) -> Answer:
        """POST /service/NAME with JSON."""
        headers = {"Content-Type": "application/json", **(headers or {})}
        return self.ask("POST", f"/service/{name}", json.dumps(value).encode(), headers=headers, **arguments)

    def node_says(self, verb: str) -> dict[str, Any]:
        """What the node itself answers on its control socket; empty while there is none."""
        try:
            answer: dict[str, Any] = json.loads(ask_node(str(self.runtime_dir), verb))
        except NotRunning:
            return {}
        return answer

    def members_of_node(self) -> dict[str, str]:
        """State by node id, as this box's node tells; empty while there is none."""
        return {member["node_id"]: member["state"] for member in self.node_says("members").get("members", ())}

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
