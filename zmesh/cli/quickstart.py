"""``bin/up``: two boxes on this machine's loopback, so that a newcomer sees a request cross a mesh.

Each box is a ``zmesh up`` of its own on an address of its own (127.0.0.1 and 127.0.0.2), with the same ports. Their
services come from ``a.toml`` and ``b.toml`` in one directory; everything else is set by flags.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from zmesh.cli.control import NotRunning, ask_node
from zmesh.cli.exit_status import ExitStatus
from zmesh.cli.quickstart_options import EXAMPLES, parse
from zmesh.cli.read import QUARANTINED
from zmesh.cli.settings import split_override
from zmesh.config.node import MeshConfig
from zmesh.config.settings import Settings
from zmesh.disk.settings import load
from zmesh.errors import ConfigurationError
from zmesh.lifeline import tethered
from zmesh.net.ports import who_listens

__all__ = ["main"]

ADDRESSES = {"box-a": "127.0.0.1", "box-b": "127.0.0.2"}
MESH_PORTS = ("request_port", "gossip_port", "lobby_port")
READY_TIMEOUT_S = 120.0
POLL_S = 0.1
STOP_TIMEOUT_S = 2.5
"""After this a box that still runs is killed: Ctrl-C is promised to take at most 3 s."""


class Interrupted(BaseException):
    """SIGINT or SIGTERM arrived; a BaseException so that no handler of errors swallows it."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the quick start until Ctrl-C; exits 2 with one line when the machine or the services are not fit."""
    options = parse(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        settings = {node_id: _settings(options, node_id) for node_id in ADDRESSES}
        _check_ports(options.port, settings["box-a"].mesh)
        services = {node_id: [service.name for service in box.service] for node_id, box in settings.items()}
        with tempfile.TemporaryDirectory(prefix="zm-") as directory, _boxes(Path(directory), options) as boxes:
            expected = {name for names in services.values() for name in names}
            _wait_until_ready(boxes, Path(directory), options.port, expected)
            print(_greeting(options, services), flush=True)
            _wait_for_end(boxes)
    except ConfigurationError as error:
        print(f"bin/up: {error}", file=sys.stderr)
        sys.exit(ExitStatus.USAGE)
    except Interrupted:
        print("\nstopped", file=sys.stderr)
        sys.exit(ExitStatus.OK)
    sys.exit(ExitStatus.FAILED)


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise Interrupted


def _settings(options: argparse.Namespace, node_id: str) -> Settings:
    """What the box will run with, but for the flags that ``_command`` adds."""
    file = _services_file(options, node_id)
    if not file.is_file():
        raise ConfigurationError(
            f"--services {options.services}: no {file.name} there; copy examples/quickstart and change it"
        )
    return load(file, dict(map(split_override, options.set)) | {"node.id": node_id}).settings


def _services_file(options: argparse.Namespace, node_id: str) -> Path:
    directory: Path = options.services
    return (directory / f"{node_id[-1]}.toml").resolve()


def _check_ports(http_port: int, mesh: MeshConfig) -> None:
    if not 1 <= http_port <= 65_535:
        raise ConfigurationError(f"--port {http_port}: expected a port from 1 to 65535")
    wanted = {getattr(mesh, name): f"stop it, or choose another with --set mesh.{name}=..." for name in MESH_PORTS}
    wanted[http_port] = "choose another with --port"
    for address in ADDRESSES.values():
        for port, remedy in wanted.items():
            holder = who_listens(address, port)
            if holder:
                raise ConfigurationError(f"port {port} of {address} is taken by {holder}; {remedy}")


@contextmanager
def _boxes(directory: Path, options: argparse.Namespace) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Both boxes as running processes; on the way out they are stopped, by force after STOP_TIMEOUT_S."""
    boxes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for node_id, address in ADDRESSES.items():
            boxes[node_id] = subprocess.Popen(
                tethered(_command(node_id, address, _runtime_dir(directory, node_id), options)),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        yield boxes
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        _stop(boxes)


def _stop(boxes: dict[str, subprocess.Popen[bytes]]) -> None:
    for box in boxes.values():
        box.terminate()
    deadline = time.monotonic() + STOP_TIMEOUT_S
    for box in boxes.values():
        try:
            box.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            box.kill()
            box.wait()


def _runtime_dir(directory: Path, node_id: str) -> Path:
    """Short, since sockets lie in it."""
    return directory / node_id[-1] / "run"


def _command(node_id: str, address: str, runtime_dir: Path, options: argparse.Namespace) -> list[str]:
    lobby_port = _settings(options, "box-a").mesh.lobby_port
    overrides = {
        "node.id": node_id,
        "node.runtime_dir": str(runtime_dir),
        "node.state_dir": str(runtime_dir.parent / "state"),
        "node.log_level": "warning",
        "vpn.address": address,
        "mesh.seeds": "" if node_id == "box-a" else f"{ADDRESSES['box-a']}:{lobby_port}",
        "gateway.bind": f"{address}:{options.port}",
        "gateway.workers": str(options.workers),
        "gateway.graceful_timeout_s": "1",
    }
    flags = [f"--set={key}={value}" for key, value in overrides.items()] + [f"--set={item}" for item in options.set]
    return [sys.executable, "-m", "zmesh", "up", "--config", str(_services_file(options, node_id)), *flags]


def _wait_until_ready(
    boxes: dict[str, subprocess.Popen[bytes]], directory: Path, http_port: int, expected: set[str]
) -> None:
    """Poll both gateways until each sees the services that both configurations name."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    waiting = set(boxes)
    seen: set[str] = set()
    while waiting:
        for node_id in sorted(waiting):
            status = boxes[node_id].poll()
            if status is not None:
                raise ConfigurationError(f"{node_id} ended with status {status}; its last lines above say why")
            seen = _services_seen(ADDRESSES[node_id], http_port)
            if seen >= expected:
                waiting.discard(node_id)
            elif given_up := _given_up(_runtime_dir(directory, node_id)):
                raise ConfigurationError(f"{node_id} gave up {given_up}; its last words above say why")
        if waiting and time.monotonic() > deadline:
            missing = ", ".join(sorted(expected - seen)) or "an answer"
            raise ConfigurationError(
                f"{', '.join(sorted(waiting))}: not ready in {READY_TIMEOUT_S:.0f} s, missing: {missing}"
            )
        time.sleep(POLL_S)


def _services_seen(address: str, port: int) -> set[str]:
    try:
        with urllib.request.urlopen(f"http://{address}:{port}/mesh/services", timeout=1.0) as answer:
            return {service["name"] for service in json.load(answer)["services"]}
    except (urllib.error.URLError, OSError, ValueError):
        return set()


def _given_up(runtime_dir: Path) -> str:
    """The first runner that the box has quarantined, and why; empty: none, or the node does not answer yet."""
    try:
        runners = json.loads(ask_node(str(runtime_dir), "status"))["runners"]
    except (NotRunning, ConfigurationError):
        return ""
    given_up = [runner for runner in runners if runner["state"] == QUARANTINED]
    return next((f"service {runner['service']}: {runner['detail']}" for runner in given_up), "")


def _wait_for_end(boxes: dict[str, subprocess.Popen[bytes]]) -> None:
    """Return when a box has ended by itself; Ctrl-C raises out of here."""
    while True:
        for node_id, box in boxes.items():
            if box.poll() is not None:
                print(f"bin/up: {node_id} ended with status {box.returncode}", file=sys.stderr)
                return
        time.sleep(POLL_S)


def _greeting(options: argparse.Namespace, services: Mapping[str, Sequence[str]]) -> str:
    urls = {node_id: f"http://{address}:{options.port}" for node_id, address in ADDRESSES.items()}
    a, header = urls["box-a"], "-H 'Content-Type: application/json'"
    lines = [f"{node_id}  {url}   {', '.join(services[node_id]) or 'no service'}" for node_id, url in urls.items()]
    if options.services == EXAMPLES:
        lines += [
            "",
            "A service that only box-b has, asked of box-a:",
            f"""  curl -si {a}/service/language-id {header} -d '{{"text": "Le chat dort sur le canapé."}}'""",
            "A service that box-a has itself:",
            f"""  curl -si {a}/service/word-count {header} -d '{{"text": "to be or not to be"}}'""",
        ]
    else:
        lines += [
            "",
            "Any service of either box, asked of either:",
            f"  curl -si {a}/service/NAME {header} -d @input.json",
        ]
    return "\n".join(["", *lines, "What box-a counted:", f"  curl -s {a}/stats", "", "Ctrl-C stops both boxes.", ""])


if __name__ == "__main__":
    main()
