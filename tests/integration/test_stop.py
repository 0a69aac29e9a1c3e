"""A node that is told to stop finishes what runs and says good-bye; one that was frozen is back when it thaws."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.boxes import Box, service
from tests.mesh import Mesh, loopback, open_mesh
from tests.polling import wait_until


@pytest.fixture(scope="module")
def mesh() -> Iterator[Mesh]:
    with open_mesh(loopback()) as mesh:
        mesh.box("asker")
        notes = mesh.directory / "notes"
        notes.touch()
        env = {"ZMESH_TEST_NOTES": str(notes)}
        mesh.box("doer", service("nap", "work:nap", env=env))
        mesh.start()
        mesh.boxes[0].wait_for_service("nap")
        yield mesh


def incarnation(observer: Box, node_id: str) -> int:
    found = [m["incarnation"] for m in observer.node_says("members")["members"] if m["node_id"] == node_id]
    return int(found[0])


def test_a_frozen_node_is_taken_for_dead_and_comes_back_alive(mesh: Mesh) -> None:
    """It refutes its death by a higher incarnation; the same process serves again."""
    asker, doer = mesh.boxes
    assert doer.node is not None
    before = incarnation(asker, "doer")
    doer.node.send(signal.SIGSTOP)
    wait_until(lambda: asker.members()["doer"] == "dead", 20, what="the frozen node is dead to others")
    refused = asker.call("nap", {"seconds": 0})
    assert (refused.status, refused.json["executed"]) == (503, "no")
    doer.node.send(signal.SIGCONT)
    mesh.wait_until_converged()
    assert incarnation(asker, "doer") > before
    asker.wait_for_service("nap")
    assert asker.call("nap", {"seconds": 0}).status == 200


def test_a_stopped_node_finishes_what_runs_and_leaves(mesh: Mesh) -> None:
    """The request that runs is answered, what comes meanwhile is not started, the exit status is 0, peers see LEFT."""
    asker, doer = mesh.boxes
    assert doer.node is not None
    notes = mesh.directory / "notes"
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(asker.call, "nap", {"seconds": 2, "name": "running"})
        wait_until(lambda: "begin running" in notes.read_text(), 10)
        doer.node.send(signal.SIGTERM)
        wait_until(lambda: doer.node_says("status")["state"] == "draining", 5)
        refused = asker.call("nap", {"seconds": 0, "name": "late"})
        assert not running.done()
        assert (refused.status, refused.json["executed"], refused.json["retryable"]) == (503, "no", True)
        assert running.result(timeout=10).status == 200
    assert doer.node.wait() == 0
    wait_until(lambda: asker.members()["doer"] == "left", 3, what="the departure is known")
    assert "late" not in notes.read_text()
    gone = asker.call("nap", {"seconds": 0})
    assert (gone.status, gone.json["executed"]) == (503, "no")
