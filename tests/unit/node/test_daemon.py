"""The daemon as a process: the order of its start, signals in every phase, faults of its parts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.polling import wait_until
from tests.unit.node.nodes import settings, short_directory, unused_address
from zmesh.cli.control import NotRunning, ask_node
from zmesh.config.service import ServiceConfig
from zmesh.config.settings import Settings

STARTED_S = 15.0
STOPPED_S = 10.0
ROOT = Path(__file__).parents[3]

PROGRAM = """
import sys, msgspec
from zmesh.config.settings import Settings
from zmesh.errors import ConfigurationError
from zmesh.node import daemon
{broken}
try:
    sys.exit(daemon.run(msgspec.json.decode(sys.argv[1], type=Settings), launch=True))
except ConfigurationError as error:
    print(error, file=sys.stderr)
    sys.exit(2)
"""


class Daemon:
    """A node in a process of its own, and what it has logged."""

    def __init__(self, of: Settings, log: Path, broken: str = "") -> None:
        self.settings = of
        self._log = log
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM.format(broken=broken), msgspec.json.encode(of).decode()],
                stderr=file,
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
                env=dict(os.environ) | {"PYTHONPATH": str(ROOT)},
            )

    @property
    def text(self) -> str:
        return self._log.read_text()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines() if line.startswith("{")]

    @property
    def said(self) -> list[str]:
        return [line["event"] for line in self.lines]

    def wait_for(self, event: str) -> None:
        wait_until(lambda: event in self.said or self.process.poll() is not None, STARTED_S, what=f"it says {event!r}")
        assert event in self.said, self.text

    def stop(self, *numbers: signal.Signals) -> int:
        """Send signals, each when the one before was heeded; the exit status."""
        for number in numbers or (signal.SIGTERM,):
            self.process.send_signal(number)
            if len(numbers) > 1 and number is numbers[0]:
                self.wait_for("stopping: draining")
        return self.process.wait(STOPPED_S)


@contextmanager
def daemon(broken: str = "", *, address: str = "", **sections: Any) -> Iterator[Daemon]:
    with short_directory() as directory:
        sections = {"service": []} | sections
        running = Daemon(settings(directory, address, **sections), directory / "log", broken)
        try:
            yield running
        finally:
            running.process.kill()
            running.process.wait()


def test_the_first_box_says_each_step_in_order_and_stops_at_a_signal() -> None:
    with daemon() as node:
        node.wait_for("ready")
        assert json.loads(ask_node(node.settings.node.runtime_dir, "status"))["state"] == "ready"
        assert node.stop(signal.SIGINT) == 0
        steps = [
            "VPN address present",
            "all TCP is plain and anybody who reaches these ports is believed: loopback and test networks only",
            "sockets bound",
            "no seeds to contact: this box waits for others, or is alone",
            "table synced",
            "services launched",
            "ready",
            "stopping: draining",
            "stopped",
        ]
        assert [event for event in node.said if event in steps] == steps
        with pytest.raises(NotRunning):
            ask_node(node.settings.node.runtime_dir, "status")


def test_seeds_are_contacted_before_the_table_is_synced_and_silent_ones_are_no_error() -> None:
    lobby = f"{unused_address()}:7402"
    with daemon(mesh={"seeds": [lobby]}) as newcomer:
        newcomer.wait_for("ready")
        assert newcomer.said.index("no seed answers: going on alone, and on trying") < newcomer.said.index("ready")
        with daemon(address=lobby.partition(":")[0]) as seed:
            seed.wait_for("ready")
            newcomer.wait_for("seeds contacted")
            with daemon(mesh={"seeds": [lobby]}) as third:
                third.wait_for("ready")
                steps = ["contacting seeds", "seeds contacted", "table synced", "ready"]
                assert [event for event in third.said if event in steps] == steps


def test_a_signal_while_the_address_is_waited_for() -> None:
    with daemon(address="192.0.2.1") as node:
        slow = msgspec.structs.replace(node.settings, vpn=msgspec.structs.replace(node.settings.vpn, wait_s=60.0))
        waiting = Daemon(slow, Path(node.settings.node.state_dir).with_name("waiting"))
        # it says nothing before the address is there, so its signal mask tells that it listens
        mask = Path(f"/proc/{waiting.process.pid}/status")
        wait_until(lambda: _catches(mask, signal.SIGTERM), STARTED_S)
        assert waiting.stop() == 0
        assert waiting.said == ["stopped"]


def test_a_signal_before_the_table_is_synced() -> None:
    with daemon(mesh={"seeds": [f"{unused_address()}:7402"]}) as node:
        node.wait_for("contacting seeds")
        assert node.stop() == 0
        assert "ready" not in node.said
        assert node.said[-1] == "stopped"
        assert not [line for line in node.lines if line["level"] in ("error", "critical")]


HOLDS_ON = """
from zmesh.dispatch.dispatcher import Dispatcher
Dispatcher.drained = property(lambda self: False)
"""


def test_a_second_signal_waits_for_no_work_but_still_says_good_bye() -> None:
    with daemon(HOLDS_ON) as node:
        node.wait_for("ready")
        assert node.stop(signal.SIGTERM, signal.SIGTERM) == 0
        assert node.said[-1] == "stopped"


SAYS_NOTHING = """
from zmesh.membership.peer import Peer
Peer.has_left = property(lambda self: False)
daemon.LEAVE_TIMEOUT_S = 0.1
"""


def test_a_departure_that_is_not_said_in_time_is_no_failure() -> None:
    with daemon(SAYS_NOTHING) as node:
        node.wait_for("ready")
        assert node.stop() == 0
        assert "the departure was not said in time; the others will find out" in node.said


BREAKS = """
from zmesh.node.box import Box
async def report_load(self):
    raise RuntimeError("a part failed")
Box.report_load = report_load
"""


def test_a_part_that_fails_ends_the_node_with_the_error_and_status_1() -> None:
    with daemon(BREAKS) as node:
        assert node.process.wait(STARTED_S) == 1
        last = node.lines[-1]
        assert (last["event"], last["level"]) == ("node failed", "critical")
        assert last["exception"].splitlines()[-1] == "RuntimeError: a part failed"
        assert "ExceptionGroup" not in node.text


def test_what_cannot_be_had_is_one_line() -> None:
    with daemon(address="192.0.2.1") as node:
        assert node.process.wait(STARTED_S) == 2
        assert node.text.startswith("vpn.address: no interface of this machine has 192.0.2.1")
        assert node.text.count("\n") == 1


def test_a_box_for_itself_needs_no_address_and_a_second_node_on_one_directory_is_refused() -> None:
    with daemon(address="192.0.2.1", mesh={"dht_enabled": False}) as node:
        node.wait_for("ready")
        again = Daemon(node.settings, Path(node.settings.node.state_dir).with_name("again"))
        assert again.process.wait(STARTED_S) == 2
        assert f"in use by another node, process {node.process.pid}" in again.text
        assert node.stop() == 0


def test_a_runner_that_cannot_start_keeps_no_node_from_being_ready_or_from_stopping() -> None:
    service = ServiceConfig(name="echo", target="nosuch:module", working_dir=str(ROOT))
    with daemon(service=[service]) as node:
        node.wait_for("ready")
        node.wait_for("runner died")
        assert node.stop() == 0


def _catches(status: Path, number: signal.Signals) -> bool:
    caught = next(line for line in status.read_text().splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)
