"""A box that runs while the verbs are tested, and the verbs called in this process."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.polling import wait_until
from zmesh.cli.control import NotRunning, ask_node
from zmesh.cli.main import main

ROOT = Path(__file__).parents[3]
READY_S = 30.0
STOPPED_S = 15.0
TARGETS = {name: f"work:{name}" for name in ("echo", "fail", "nap", "raw")} | {"broken": "nosuch:none"}


@dataclass(frozen=True)
class Box:
    """One box on an address that no other test has."""

    config: Path
    address: str
    runtime_dir: str

    @property
    def url(self) -> str:
        return f"http://{self.address}:8000"


@dataclass(frozen=True)
class Outcome:
    """What a verb printed, and its exit status."""

    status: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()


Verb = Callable[..., Outcome]


@pytest.fixture
def zmesh(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Verb:
    """``zmesh("members", "--json")`` as from a shell whose output is a pipe."""

    def call(*words: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["zmesh", *words])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capfdbinary.readouterr()
        status = end.value.code
        return Outcome(status if isinstance(status, int) else 0, out, err.decode())

    return call


def write_box(directory: Path, host: int, services: str = "") -> Box:
    """A configuration whose directories are short and whose address is this process's own."""
    pid = os.getpid()
    address = f"127.{128 + (pid >> 8) % 64}.{pid % 256}.{host}"
    config = directory / "zmesh.toml"
    config.write_text(
        f'[node]\nid = "box"\nstate_dir = "state"\nruntime_dir = "run"\n'
        f'[vpn]\naddress = "{address}"\nwait_s = 0.1\n[gateway]\nbind = "{address}:8000"\nworkers = 1\n{services}'
    )
    return Box(config, address, str(directory / "run"))


@pytest.fixture
def directory() -> Iterator[Path]:
    """A short one: Unix sockets have short paths."""
    with tempfile.TemporaryDirectory(prefix="zc-") as directory:
        yield Path(directory)


@pytest.fixture(scope="session")
def box() -> Iterator[Box]:
    """A whole box under ``zmesh up``, with services, one of which cannot start."""
    services = "".join(
        f'[[service]]\nname = "{name}"\ntarget = "{target}"\nworking_dir = "{ROOT / "tests/services"}"\n'
        for name, target in TARGETS.items()
    )
    with tempfile.TemporaryDirectory(prefix="zc-") as directory:
        written = write_box(Path(directory), 1, services)
        log = Path(directory, "log")
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "zmesh", "up", "--config", str(written.config)],
                stdin=subprocess.DEVNULL,
                stderr=file,
                cwd=ROOT,
                env=dict(os.environ) | {"PYTHONPATH": str(ROOT)},
            )
        try:
            wait_until(lambda: _is_ready(written) or process.poll() is not None, READY_S, what=f"up: {log.read_text()}")
            assert process.poll() is None, log.read_text()
            yield written
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                assert process.wait(STOPPED_S) == 0, log.read_text()
            finally:
                process.kill()


def _is_ready(box: Box) -> bool:
    try:
        return b"quarantined" in ask_node(box.runtime_dir, "status") and _answers(box)
    except NotRunning:
        return False


def _answers(box: Box) -> bool:
    connection = http.client.HTTPConnection(box.address, 8000, timeout=2.0)
    try:
        connection.request("GET", "/mesh/services")
        body = connection.getresponse().read()
        return all(name in body for name in (b"echo", b"fail", b"nap", b"raw"))
    except OSError:
        return False
    finally:
        connection.close()
