"""bin/up as a newcomer meets it: what it prints works as printed, is counted, and goes without a trace."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.boxes import Process
from tests.polling import wait_until
from zmesh.net.ports import who_listens

HTTP_PORT = 8090
PORTS = (HTTP_PORT, 7400, 7401, 7402)
ADDRESSES = ("127.0.0.1", "127.0.0.2")
READY_TIMEOUT_S = 60.0
STOPS_WITHIN_S = 3.0
COMMAND = [sys.executable, "-m", "zmesh.cli.quickstart", "--port", str(HTTP_PORT)]


@dataclass
class QuickStart:
    """A running quick start and what it has printed."""

    process: Process
    printed: Path
    family: set[int] = field(default_factory=set)
    """Ids of all its processes, its own included."""

    @property
    def text(self) -> str:
        return self.printed.read_text()

    @property
    def curl_lines(self) -> list[str]:
        return [line.strip() for line in self.text.splitlines() if line.strip().startswith("curl ")]


@contextmanager
def quick_start(*flags: str) -> Iterator[QuickStart]:
    """Ready, with its three curl lines printed."""
    wait_until(lambda: not holders(), 60, what=f"ports {PORTS} are free")
    with TemporaryDirectory() as directory:
        printed = Path(directory, "printed")
        running = QuickStart(Process([*COMMAND, *flags], printed), printed)
        try:
            wait_until(lambda: len(running.curl_lines) == 3 or not running.process.is_running, READY_TIMEOUT_S)
            assert running.process.is_running, running.text
            running.family = descendants(running.process.pid)
            yield running
        finally:
            print(running.text)
            if running.process.is_running:
                running.process.stop()
            for pid in alive(running.family):  # of a failed test
                os.kill(pid, signal.SIGKILL)


def curl(line: str) -> tuple[dict[str, str], Any]:
    """Headers and JSON that the printed line gets, run by a shell as a reader would."""
    out = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True, timeout=30).stdout
    if " -si " not in line:
        return {}, json.loads(out)
    head, _, body = out.replace("\r\n", "\n").partition("\n\n")
    status, *headers = head.split("\n")
    assert status.split()[1] == "200", out
    return {name.lower(): value for name, _, value in (header.partition(": ") for header in headers)}, json.loads(body)


@pytest.fixture(scope="class")
def running() -> Iterator[QuickStart]:
    """One for all tests of a class: there can be no two at a time."""
    with quick_start() as running:
        yield running


class TestWhileItRuns:
    def test_the_printed_lines_work_and_are_counted(self, running: QuickStart) -> None:
        """A French sentence asked of A is answered by B; word-count by A itself; /stats on A tells so."""
        language, words, stats = running.curl_lines
        assert all(f"http://{address}:{HTTP_PORT}" in running.text for address in ADDRESSES)
        headers, answer = curl(language)
        assert (answer["status"], answer["message"]) == ("success", "Processed by box-b")
        assert answer["data"]["language"] == "fr"
        assert 0.5 < answer["data"]["probability"] <= 1
        assert (headers["x-zmesh-route"], headers["x-zmesh-node"]) == ("vpn", "box-b")
        assert routing(stats) == counts(forwarded=1, hits=0)
        curl(language)
        assert routing(stats) == counts(forwarded=2, hits=1)
        headers, answer = curl(words)
        assert (answer["data"]["words"], headers["x-zmesh-route"], headers["x-zmesh-node"]) == (6, "local", "box-a")
        assert routing(stats) == counts(forwarded=2, hits=1, local=1)

    def test_a_second_one_names_the_process_that_has_the_port(self, running: QuickStart) -> None:
        second = subprocess.run(COMMAND, capture_output=True, text=True, timeout=30, check=False)
        assert second.returncode == 2
        (line,) = second.stderr.splitlines()
        assert any(f"port {port} of 127.0.0.1 is taken by" in line for port in PORTS)
        assert any(f"(pid {pid})" in line for pid in running.family)


@pytest.mark.parametrize("to_all", [True, False], ids=["terminal", "process"])
def test_ctrl_c_stops_everything_within_3_s(to_all: bool) -> None:
    """As a terminal sends it, to the whole foreground group, and to the process alone. Nothing is left running."""
    with quick_start() as running:
        assert len(running.family) >= 10, "itself, 2 boxes of node, master and worker, 3 runners"
        interrupted_at = time.monotonic()
        if to_all:
            os.killpg(running.process.pid, signal.SIGINT)
        else:
            running.process.send(signal.SIGINT)
        assert running.process.wait() == 0
        took_s = time.monotonic() - interrupted_at
        wait_until(lambda: not alive(running.family), 1, what="no process is left")
        print(f"stopped in {took_s:.2f} s")
        assert took_s < STOPS_WITHIN_S
        assert not holders()
        assert "Traceback" not in running.text


def test_killed_it_leaves_nothing_behind() -> None:
    with quick_start() as running:
        running.process.kill()
        wait_until(lambda: not alive(running.family), 10, what="no process is left")


@pytest.mark.parametrize(
    ("address", "port", "remedy"), [("127.0.0.1", HTTP_PORT, "--port"), ("127.0.0.2", 7401, "--set")]
)
def test_a_port_that_is_taken(address: str, port: int, remedy: str) -> None:
    """One line names it, the process that has it, and what to set; nothing is started."""
    wait_until(lambda: not holders(), 60, what=f"ports {PORTS} are free")
    with socket.create_server((address, port)):
        refused = subprocess.run(COMMAND, capture_output=True, text=True, timeout=30, check=False)
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    assert f"port {port} of {address} is taken by" in line
    assert f"(pid {os.getpid()})" in line
    assert remedy in line
    assert refused.stdout == ""


def routing(stats: str) -> dict[str, float]:
    figures: dict[str, float] = curl(stats)[1]["routing"]
    return figures


def counts(*, forwarded: int, hits: int, local: int = 0) -> dict[str, float]:
    """/stats after one look-up, which missed."""
    return {
        "local_requests": local,
        "forwarded_requests": forwarded,
        "cache_hits": hits,
        "cache_misses": 1,
        "dht_lookups": 1,
        "failed_requests": 0,
        "cache_size": 1,
        "cache_hit_rate": hits / (hits + 1),
    }


def holders() -> list[str]:
    """Who has a port that the quick start needs."""
    found = (who_listens(address, port) for address in ADDRESSES for port in PORTS)
    return [holder for holder in found if holder]


def descendants(pid: int) -> set[int]:
    """``pid`` and every process below it."""
    found = {pid}
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            found |= descendants(int(child))
    return found


def alive(pids: set[int]) -> set[int]:
    """Those that run still; one that has ended and is only unread by its parent does not."""
    return {pid for pid in pids if state(pid) not in ("", "Z")}


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""
