"""A daemon that cannot run as it is told says so in one clear line on standard error and ends with status 2."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.boxes import HTTP_PORT
from tests.mesh import loopback

USAGE = 2
NOT_HERE = "192.0.2.1"
"""Reserved for documentation (RFC 5737): no machine has it."""

_addresses = loopback()
_numbers = count()


@pytest.fixture
def address() -> str:
    return next(_addresses)


@pytest.fixture
def directory() -> Iterator[Path]:
    with TemporaryDirectory(prefix="zm") as directory:
        yield Path(directory)


def run(directory: Path, address: str, *words: str) -> subprocess.CompletedProcess[str]:
    """``zmesh WORDS`` of a box that would run were it not for ``words``."""
    settings = {
        "node.id": "box",
        "node.state_dir": str(directory / "state"),
        "node.runtime_dir": str(directory / "run"),
        "vpn.address": address,
        "gateway.bind": f"{address}:{HTTP_PORT}",
        "gateway.workers": "1",
    }
    flags = [f"--set={key}={value}" for key, value in settings.items()]
    command = [sys.executable, "-m", "zmesh", words[0], "--config", str(empty(directory)), *flags, *words[1:]]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)


def empty(directory: Path) -> Path:
    file = directory / "zmesh.toml"
    file.touch()
    return file


def assert_one_line(done: subprocess.CompletedProcess[str], *fragments: str) -> None:
    """Status 2, and one line of standard error that holds all ``fragments``; nothing of Python's inside."""
    assert done.returncode == USAGE, done.stderr
    found = [line for line in done.stderr.splitlines() if all(fragment in line for fragment in fragments)]
    assert len(found) == 1, done.stderr
    print(found[0])
    assert found[0].startswith("zmesh: ")
    assert "Traceback" not in done.stderr


VERBS = ("up", "node", "gateway")


@pytest.mark.parametrize("verb", VERBS)
def test_an_unknown_key(directory: Path, address: str, verb: str) -> None:
    empty(directory).write_text("[gateway]\nworker = 4\n")
    done = run(directory, address, verb)
    assert_one_line(done, "gateway.worker", "gateway.workers", "zmesh.toml")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("verb", "key", "value"),
    [
        *((verb, "vpn.address", "10.42.0.999") for verb in VERBS),
        *((verb, "mesh.seeds", "seed.example:7402") for verb in VERBS),
        *((verb, "gateway.bind", "localhost:8000") for verb in VERBS),
    ],
)
def test_an_address_that_is_none(directory: Path, address: str, verb: str, key: str, value: str) -> None:
    done = run(directory, address, verb, f"--set={key}={value}")
    assert_one_line(done, key, value.split(":")[0])
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("verb", ["up", "node"])
def test_an_address_of_another_machine(directory: Path, address: str, verb: str) -> None:
    done = run(directory, address, verb, f"--set=vpn.address={NOT_HERE}", "--set=vpn.wait_s=0")
    assert_one_line(done, "vpn.address", NOT_HERE)


@pytest.mark.parametrize("verb", ["up", "gateway"])
def test_an_http_address_of_another_machine(directory: Path, address: str, verb: str) -> None:
    assert_one_line(run(directory, address, verb, f"--set=gateway.bind={NOT_HERE}:8000"), "gateway.bind", NOT_HERE)


@pytest.mark.parametrize(
    ("verb", "setting", "port"),
    [
        ("node", "mesh.request_port", 7400),
        ("node", "mesh.gossip_port", 7401),
        ("node", "mesh.lobby_port", 7402),
        ("up", "mesh.request_port", 7400),
        ("gateway", "gateway.bind", HTTP_PORT),
        ("up", "gateway.bind", HTTP_PORT),
    ],
)
def test_a_port_that_is_taken(directory: Path, address: str, verb: str, setting: str, port: int) -> None:
    """The line names the port, the setting, and the process that has it: this one."""
    with socket.create_server((address, port)):
        done = run(directory, address, verb)
    assert_one_line(done, f"{address}:{port}", setting, f"(pid {os.getpid()})")
