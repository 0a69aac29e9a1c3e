"""What becomes of a request when the runner that has it, or the gateway that asked for it, is killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.boxes import Box, service
from tests.mesh import Mesh, loopback, open_mesh
from tests.polling import wait_until

CANCELLED_WITHIN_S = 1.5
AT_ONCE_S = 3.0
"""The request's own deadline is twenty times later; a death is known in milliseconds, plus what a busy machine adds."""


@pytest.fixture(scope="module")
def mesh() -> Iterator[Mesh]:
    """``asker``, without services, and ``doer``, whose services note what they do."""
    with open_mesh(loopback()) as mesh:
        env = {"ZMESH_TEST_NOTES": str(mesh.directory / "notes")}
        mesh.box("asker")
        mesh.box("doer", service("nap", "work:nap", env=env), service("doze", "work:doze", env=env))
        mesh.start()
        for box in mesh.boxes:
            box.wait_for_service("nap")
            box.wait_for_service("doze")
        yield mesh


@pytest.fixture
def notes(mesh: Mesh) -> Path:
    """What the services note during this test."""
    file = mesh.directory / "notes"
    file.write_text("")
    return file


@pytest.mark.parametrize("whom", ["asker", "doer"])
def test_a_runner_is_killed_with_a_request_in_hand(mesh: Mesh, notes: Path, whom: str) -> None:
    """502 and ``executed: unknown`` long before the deadline; the very next request waits for the runner's return."""
    asker, doer = mesh.boxes
    gateway = {"asker": asker, "doer": doer}[whom]
    first = runner_of(doer, "nap")
    assert first is not None
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(gateway.call, "nap", {"seconds": 60, "name": "interrupted"})
        wait_until(lambda: "begin interrupted" in notes.read_text(), 10)
        os.kill(first, signal.SIGKILL)
        killed_at = time.monotonic()
        answer = pending.result(timeout=30)
        took_s = time.monotonic() - killed_at
    print(f"502 after {took_s * 1000:.0f} ms")
    assert (answer.status, answer.json["executed"]) == (502, "unknown")
    assert answer.json["type"] == "urn:zmesh:problem:outcome-unknown"
    assert took_s < AT_ONCE_S
    again = gateway.call("nap", {"seconds": 0, "name": "next"})
    assert again.status == 200, again.body
    assert again.json["data"] == {"pid": runner_of(doer, "nap"), "name": "next"}
    assert again.json["data"]["pid"] != first
    assert notes.read_text().splitlines() == ["begin interrupted", "begin next", "end next"]


@pytest.mark.parametrize("what", ["worker", "gateway"])
def test_a_gateway_is_killed_while_its_requests_run(mesh: Mesh, notes: Path, what: str) -> None:
    """Its running request is cancelled within 1.5 s, its waiting one never starts, and others are served."""
    asker, doer = mesh.boxes
    assert asker.gateway is not None
    cancelled = ended(doer, "cancelled")
    with ThreadPoolExecutor(2) as pool:
        lost = [pool.submit(asker.call, "doze", {"seconds": 60, "name": "running"})]
        wait_until(lambda: "begin running" in notes.read_text(), 10)
        lost.append(pool.submit(asker.call, "doze", {"seconds": 60, "name": "waiting"}))
        wait_until(lambda: queued(doer, "doze") == 1, 10)
        if what == "worker":
            os.kill(asker.gateway.children[0], signal.SIGKILL)
        else:
            asker.kill_gateway()
        killed_at = time.monotonic()
        wait_until(lambda: "cancelled running" in notes.read_text(), 10)
        took_s = time.monotonic() - killed_at
        print(f"cancelled after {took_s * 1000:.0f} ms")
        assert took_s < CANCELLED_WITHIN_S
        assert all(isinstance(request.exception(timeout=10), OSError) for request in lost)
    wait_until(lambda: queued(doer, "doze") == 0, 5)
    assert doer.call("doze", {"seconds": 0, "name": "other"}).status == 200
    assert notes.read_text().splitlines() == ["begin running", "cancelled running", "begin other", "end other"]
    assert ended(doer, "cancelled") == cancelled + 2
    if what == "gateway":
        asker.start_gateway()
    asker.wait_for_service("doze")
    assert asker.call("doze", {"seconds": 0}).status == 200


def runner_of(box: Box, name: str) -> int | None:
    """Process id of its ready runner."""
    runners = box.node_says("status").get("runners", ())
    return next((r["pid"] for r in runners if r["service"] == name and r["state"] == "ready"), None)


def queued(box: Box, name: str) -> float:
    return float(box.node_says("figures")["zmesh_queue_depth"][f'service="{name}"'])


def ended(box: Box, outcome: str) -> float:
    return float(box.node_says("figures")["zmesh_requests_ended_total"].get(f'outcome="{outcome}"', 0))
