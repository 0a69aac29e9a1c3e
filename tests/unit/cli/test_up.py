"""Two daemons kept as one box: which end ends the box, how often one is started again, how they are stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.polling import wait_until_async
from tests.unit.cli.conftest import ROOT, Verb, write_box
from zmesh.cli import up
from zmesh.cli.exit_status import ExitStatus
from zmesh.cli.up import Child, supervise
from zmesh.config.box import UpLimits
from zmesh.config.gateway import GatewayConfig
from zmesh.config.limits import DispatchLimits
from zmesh.config.node import NodeConfig
from zmesh.config.service import ServiceConfig
from zmesh.config.settings import Settings

SOON_S = 10.0
QUICK = UpLimits(restart_first_s=0.02, restart_max_s=0.04, healthy_s=30.0)

# Each writes its name when it listens to signals, and when one comes; "heeds", "ignores" and "waits" say what it does.
DAEMON = """
import signal, sys, time
name, does, log = sys.argv[1:]
def say(word):
    with open(log, "a") as file:
        print(name, word, file=file, flush=True)
asked = 0
def came(number, frame):
    global asked
    asked += 1
    say("asked")
    if does == "heeds" or (does == "hurries" and asked == 2):
        sys.exit(0)
signal.signal(signal.SIGTERM, came)
say("runs")
while True:
    time.sleep(0.05)
"""


def daemon(name: str, does: str, log: Path, limits: UpLimits = QUICK) -> Child:
    return Child(name, [sys.executable, "-S", "-c", DAEMON, name, does, str(log)], limits)


def ends(name: str, status: int, log: Path, limits: UpLimits = QUICK) -> Child:
    """One that ends at once, with ``status``."""
    return Child(name, ["/bin/sh", "-c", f"echo {name} runs >> {log}; exit {status}"], limits)


def dies(name: str, times: int, log: Path, limits: UpLimits = QUICK) -> Child:
    """One that ends with status 1 ``times`` times, and then runs until it is stopped."""
    lives = f"[ $(wc -l < {log}) -gt {times} ]"
    return Child(name, ["/bin/sh", "-c", f"echo {name} runs >> {log}; {lives} && exec sleep 60; exit 1"], limits)


def lines(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def run(children: list[Child], then: Callable[[], Coroutine[Any, Any, None]], grace_s: float = 5.0) -> int:
    """Supervise the children while ``then`` happens."""

    async def both() -> int:
        supervised = asyncio.create_task(supervise(children, grace_s))
        await then()
        return await asyncio.wait_for(supervised, SOON_S)

    return asyncio.run(both())


async def nothing() -> None:
    """The children end by themselves."""


def terminate_when(log: Path, *expected: str) -> Callable[[], Coroutine[Any, Any, None]]:
    """SIGTERM to this process once ``expected`` has been said."""

    async def then() -> None:
        await wait_until_async(lambda: set(expected) <= set(lines(log)), SOON_S)
        os.kill(os.getpid(), signal.SIGTERM)

    return then


def test_a_signal_stops_the_gateway_before_the_node(tmp_path: Path) -> None:
    log = tmp_path / "log"
    children = [daemon("gateway", "heeds", log), daemon("node", "heeds", log)]
    assert run(children, terminate_when(log, "gateway runs", "node runs")) == ExitStatus.OK
    assert lines(log)[2:] == ["gateway asked", "node asked"]


def test_a_wrong_setting_ends_the_box_with_status_2_and_stops_the_other(tmp_path: Path) -> None:
    log = tmp_path / "log"
    children = [daemon("gateway", "heeds", log), Child("node", ["/bin/sh", "-c", f"{_until(log)}; exit 2"], QUICK)]
    assert run(children, nothing) == ExitStatus.USAGE
    assert lines(log) == ["gateway runs", "gateway asked"]


def test_one_that_ends_before_the_other_is_there_leaves_nothing_behind(tmp_path: Path) -> None:
    # the gateway may not have been started, or not listen yet, when the node has already ended
    log = tmp_path / "log"
    gateway = daemon("gateway", "heeds", log)
    assert run([gateway, ends("node", 2, log)], nothing) == ExitStatus.USAGE
    assert gateway._process is None or gateway._process.returncode is not None


def test_one_that_is_just_being_started_is_stopped_too(tmp_path: Path) -> None:
    async def test() -> int:
        stopping = asyncio.Event()
        child = daemon("node", "heeds", tmp_path / "log")
        run = asyncio.create_task(child.keep_running(stopping))
        await asyncio.wait([run], timeout=0)  # it begins
        assert child._process is None
        child.send(signal.SIGTERM)  # reaches nobody
        stopping.set()
        try:
            return await asyncio.wait_for(run, SOON_S)
        finally:
            child.send(signal.SIGKILL)

    assert asyncio.run(test()) == ExitStatus.OK


def test_status_0_ends_the_box_in_peace(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert run([daemon("gateway", "heeds", log), ends("node", 0, log)], nothing) == ExitStatus.OK


@pytest.mark.parametrize(
    ("limits", "delays"),
    [
        pytest.param(QUICK, ["0.02", "0.04", "0.04"], id="later each time"),
        pytest.param(UpLimits(restart_first_s=0.02, restart_max_s=10.0, healthy_s=0.0), ["0.02"] * 3, id="lived long"),
    ],
)
def test_one_that_dies_is_started_again(
    limits: UpLimits, delays: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node, gateway = tmp_path / "node", tmp_path / "gateway"

    async def then() -> None:
        await wait_until_async(lambda: len(lines(node)) == 4 and bool(lines(gateway)), SOON_S)
        os.kill(os.getpid(), signal.SIGTERM)

    assert run([daemon("gateway", "heeds", gateway), dies("node", 3, node, limits)], then) == ExitStatus.OK
    assert lines(gateway) == ["gateway runs", "gateway asked"]
    said = capsys.readouterr().out.splitlines()
    assert [line.partition("delay_s=")[2].split()[0] for line in said if "delay_s=" in line] == delays


def test_stopping_does_not_wait_for_a_restart(tmp_path: Path) -> None:
    log = tmp_path / "log"
    node = ends("node", 1, log, UpLimits(restart_first_s=60.0, restart_max_s=60.0))

    async def then() -> None:
        await wait_until_async(lambda: node._process is not None and node._process.returncode == 1, SOON_S)
        os.kill(os.getpid(), signal.SIGTERM)

    assert run([node], then) == ExitStatus.OK


def test_one_that_does_not_stop_is_killed_after_its_grace(tmp_path: Path) -> None:
    log = tmp_path / "log"
    children = [daemon("node", "ignores", log)]
    assert run(children, terminate_when(log, "node runs"), grace_s=0.3) == ExitStatus.FAILED
    assert lines(log) == ["node runs", "node asked"]


@pytest.mark.parametrize(("does", "status"), [("hurries", ExitStatus.OK), ("ignores", ExitStatus.FAILED)])
def test_a_second_signal_is_passed_on_and_does_not_wait(does: str, status: ExitStatus, tmp_path: Path) -> None:
    log = tmp_path / "log"

    async def then() -> None:
        await terminate_when(log, "node runs")()
        await terminate_when(log, "node asked")()

    child = daemon("node", does, log, UpLimits(hurry_s=0.5))
    assert run([child], then, grace_s=60.0) == status
    assert lines(log) == ["node runs", "node asked", "node asked"]


@pytest.mark.parametrize(
    ("statuses", "overall"),
    [
        ([0, 0], ExitStatus.OK),
        ([0, 2], ExitStatus.USAGE),
        ([-9, 2], ExitStatus.USAGE),
        ([1, 0], ExitStatus.FAILED),
        ([0, -9], ExitStatus.FAILED),
    ],
)
def test_the_status_of_the_box(statuses: list[int], overall: ExitStatus) -> None:
    assert up._overall(statuses) is overall


def test_a_box_whose_address_is_not_there_ends_with_status_2(
    directory: Path, zmesh: Verb, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = write_box(directory, 4)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    outcome = zmesh("up", "-c", str(box.config), "--set", "vpn.address=192.0.2.1")
    assert outcome.status == ExitStatus.USAGE
    assert "zmesh: vpn.address: no interface of this machine has 192.0.2.1" in outcome.err


def _until(log: Path) -> str:
    """Shell: wait until the other daemon runs."""
    return f"until grep -q runs {log} 2>/dev/null; do sleep 0.02; done"


def test_the_grace_covers_what_the_settings_let_a_daemon_take() -> None:
    limits, drain_s = UpLimits(), DispatchLimits().drain_finish_s
    slow = ServiceConfig(name="x", target="a:b", stop_grace_s=100.0)
    settings = Settings(node=NodeConfig(id="box"), service=[slow])
    assert up._grace_s(settings, limits) == drain_s + 100.0 + limits.stop_margin_s
    settings = Settings(node=NodeConfig(id="box"), gateway=GatewayConfig(graceful_timeout_s=300.0))
    assert up._grace_s(settings, limits) == 300.0 + limits.stop_margin_s
