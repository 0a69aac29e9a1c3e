"""Two hosts offer one service, one of them slower: work goes where it is done soonest; a death costs its own only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.boxes import Answer, Box, service
from tests.hosts.network import Host
from tests.mesh import Mesh, open_mesh

REQUESTS = 300
IN_FLIGHT = 32
NAP_S = 0.01
SLOWNESS = 3


@pytest.fixture
def mesh(hosts: list[Host]) -> Iterator[Mesh]:
    """``asker`` without services, ``fast`` and ``slow`` with the same one, a request at a time."""
    with open_mesh(hosts) as mesh:
        asker = mesh.box("asker")
        for node_id, slowness in (("fast", 1), ("slow", SLOWNESS)):
            notes = mesh.directory / f"notes-{node_id}"
            notes.touch()
            env = {"ZMESH_TEST_NOTES": str(notes), "ZMESH_TEST_SLOWNESS": str(slowness)}
            mesh.box(node_id, service("nap", "work:nap", concurrency=1, env=env))
        mesh.start()
        asker.wait_for_service("nap", nodes=2)
        yield mesh


def test_the_faster_host_gets_at_least_twice_as_many(mesh: Mesh) -> None:
    answers = ask_many(mesh.boxes[0], REQUESTS)
    assert Counter(answer.status for answer in answers) == {200: REQUESTS}
    done = Counter(answer.headers["x-zmesh-node"] for answer in answers)
    print(f"done by {dict(done)}")
    assert set(done) == {"fast", "slow"}
    assert done["fast"] >= 2 * done["slow"]


def test_the_faster_host_is_killed_half_way(mesh: Mesh) -> None:
    """Every request has an outcome. What fails was handed to the killed host; nothing runs twice."""
    asker, fast, _ = mesh.boxes
    assert fast.node is not None
    killed = fast.node.kill
    answers = ask_many(asker, REQUESTS, half_way=killed)
    statuses = Counter(answer.status for answer in answers)
    lost = {name(number): answer for number, answer in enumerate(answers) if answer.status != 200}
    print(f"{dict(statuses)}, slowest {max(answer.seconds for answer in answers):.2f} s")
    assert statuses.total() == REQUESTS
    assert 0 < len(lost) <= IN_FLIGHT
    for answer in lost.values():
        assert (answer.status, answer.json["executed"]) == (502, "unknown")
        assert "fast" in answer.json["detail"]
    begun = {node_id: begun_at(mesh.directory / f"notes-{node_id}") for node_id in ("fast", "slow")}
    assert not set(lost) & set(begun["slow"])
    assert Counter(begun["fast"] + begun["slow"]).most_common(1)[0][1] == 1
    assert {name(number) for number in range(REQUESTS)} - set(lost) <= set(begun["fast"] + begun["slow"])


def ask_many(box: Box, count: int, half_way: Callable[[], None] = lambda: None) -> list[Answer]:
    """Answers in the order asked, IN_FLIGHT at a time; ``half_way`` is called once half of them are there."""
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        pending = [pool.submit(box.call, "nap", {"seconds": NAP_S, "name": name(n)}) for n in range(count)]
        for request in pending[: count // 2]:
            request.result()
        half_way()
        return [request.result() for request in pending]


def name(number: int) -> str:
    return f"request-{number}"


def begun_at(notes: Path) -> list[str]:
    """Names of the requests that service code was handed there."""
    return [line.split()[1] for line in notes.read_text().splitlines() if line.startswith("begin")]
