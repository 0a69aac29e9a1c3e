"""The quick start short of running it: what it refuses, how it starts a box, what it prints. Whole runs are in
tests/integration."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.cli.conftest import ROOT, Box
from zmesh.cli import quickstart
from zmesh.cli.exit_status import ExitStatus
from zmesh.cli.quickstart import ADDRESSES
from zmesh.cli.quickstart_options import EXAMPLES, parse
from zmesh.cli.settings import load_settings
from zmesh.errors import ConfigurationError

UNUSUAL = [f"--set=mesh.{name}_port={port}" for name, port in (("request", 27400), ("gossip", 27401), ("lobby", 27402))]
"""Ports that no quick start beside this test has."""


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def taken() -> Iterator[tuple[str, int]]:
    """A port of box-b's address that somebody listens on."""
    with socket.create_server((ADDRESSES["box-b"], 0)) as listener:
        yield listener.getsockname()


def options(*words: str) -> argparse.Namespace:
    return parse(words)


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line of a quick start that must not start."""
    with pytest.raises(SystemExit) as end:
        quickstart.main(words)
    assert end.value.code == ExitStatus.USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("bin/up: ")
    assert err.count("\n") == 1
    return err


def test_a_taken_http_port_names_its_holder(taken: tuple[str, int], capsys: pytest.CaptureFixture[str]) -> None:
    line = refusal(capsys, "--port", str(taken[1]), *UNUSUAL)
    assert f"port {taken[1]} of 127.0.0.2 is taken by " in line
    assert f"(pid {os.getpid()}); choose another with --port" in line


def test_the_mesh_ports_looked_at_are_those_it_will_have(
    taken: tuple[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    line = refusal(capsys, *UNUSUAL, "--set", f"mesh.gossip_port={taken[1]}")
    assert "choose another with --set mesh.gossip_port=..." in line
    with socket.create_server((ADDRESSES["box-a"], 0)) as free:
        port = free.getsockname()[1]
    mesh = quickstart._settings(options("--set", f"mesh.lobby_port={port}"), "box-a").mesh
    assert mesh.lobby_port == port


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--port", "0"], "--port 0: expected a port from 1 to 65535"),
        (["--port", "65536"], "--port 65536: expected"),
        (["--set", "foo"], "--set foo: expected KEY=VALUE"),
        (["--set", "gateway.wokers=1"], "did you mean 'gateway.workers'?"),
        (["--services", "/nonexistent"], "no a.toml there; copy examples/quickstart and change it"),
    ],
)
def test_what_is_refused_is_one_line(words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert complaint in refusal(capsys, *words)


def test_services_that_cannot_be_read_are_refused_before_anything_starts(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(EXAMPLES / "a.toml", directory)
    (directory / "b.toml").write_text("[[service]]\nname = 1")
    assert f"{directory}/b.toml: [[service]] number 1: name: expected" in refusal(capsys, "--services", str(directory))


def test_the_boxes_settings_are_what_they_are_started_with(directory: Path) -> None:
    given = options("--workers", "3", "--port", "18000", "--set", "mesh.lobby_port=17402", "--set", "vpn.wait_s=1")
    for node_id, seeds in (("box-a", []), ("box-b", ["127.0.0.1:17402"])):
        runtime_dir = quickstart._runtime_dir(directory, node_id)
        command = quickstart._command(node_id, ADDRESSES[node_id], runtime_dir, given)
        assert command[1:4] == ["-m", "zmesh", "up"]
        config = Path(command[command.index("--config") + 1])
        overrides = [word.removeprefix("--set=") for word in command if word.startswith("--set=")]
        settings = load_settings(config, overrides).settings
        assert (settings.node.id, settings.vpn.address) == (node_id, ADDRESSES[node_id])
        assert (settings.mesh.seeds, settings.mesh.lobby_port) == (seeds, 17402)
        assert (settings.gateway.bind, settings.gateway.workers) == (f"{ADDRESSES[node_id]}:18000", 3)
        assert Path(settings.node.runtime_dir) == runtime_dir


def test_what_it_prints_fits_the_services_there_are() -> None:
    services = {"box-a": ["word-count"], "box-b": ["word-count", "language-id"]}
    text = quickstart._greeting(options("--port", "8090"), services)
    curls = [line.strip() for line in text.splitlines() if line.startswith("  curl")]
    assert len(curls) == 3
    assert all("http://127.0.0.1:8090/" in curl for curl in curls)
    assert "box-b  http://127.0.0.2:8090   word-count, language-id" in text

    text = quickstart._greeting(options("--services", "/my/own"), {"box-a": ["mine"], "box-b": []})
    assert "word-count" not in text
    assert "box-a  http://127.0.0.1:8000   mine" in text
    assert "box-b  http://127.0.0.2:8000   no service" in text


def test_a_box_that_ends_while_it_is_waited_for_is_the_end() -> None:
    boxes = {"box-a": subprocess.Popen([sys.executable, "-S", "-c", "raise SystemExit(2)"])}
    boxes["box-a"].wait()
    with pytest.raises(ConfigurationError, match="box-a ended with status 2; its last lines above say why"):
        quickstart._wait_until_ready(boxes, Path("/none"), 9, {"echo"})


def test_a_service_that_is_given_up_is_told_of_with_its_reason(box: Box, tmp_path: Path) -> None:
    told = quickstart._given_up(Path(box.runtime_dir))
    assert told == "service broken: exit status 2"
    assert quickstart._given_up(tmp_path) == ""  # nobody to ask yet


def test_a_box_that_ignores_sigterm_is_killed_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quickstart, "STOP_TIMEOUT_S", 0.3)
    program = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"
    stubborn = subprocess.Popen([sys.executable, "-S", "-c", program], stdout=subprocess.PIPE, cwd=ROOT)
    assert stubborn.stdout is not None
    stubborn.stdout.readline()
    quickstart._stop({"box-a": stubborn})
    assert stubborn.returncode == -signal.SIGKILL
    stubborn.stdout.close()
