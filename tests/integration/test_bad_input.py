"""Whatever a client sends, it gets a problem document that tells what happened, and the next request is served."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.boxes import HTTP_PORT, Answer, Box, service
from tests.mesh import Mesh, loopback, open_mesh
from tests.polling import wait_until

BODY_BYTES_MAX = 100_000
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def mesh() -> Iterator[Mesh]:
    """``asker``, with a service of its own and a small limit for bodies, and ``doer``."""
    with open_mesh(loopback()) as mesh:
        mesh.box("asker", service("near", "work:echo"), settings={"gateway": {"body_bytes_max": BODY_BYTES_MAX}})
        notes = mesh.directory / "notes"
        notes.touch()
        env = {"ZMESH_TEST_NOTES": str(notes)}
        mesh.box(
            "doer",
            service("echo", "work:echo"),
            service("fail", "work:fail"),
            service("nap", "work:nap", queue_length_max=1, env=env),
        )
        mesh.start()
        for name in ("near", "echo", "fail", "nap"):
            mesh.boxes[0].wait_for_service(name)
        yield mesh


@pytest.fixture
def asker(mesh: Mesh) -> Iterator[Box]:
    """The box that bad input is sent to; afterwards it serves good input, from here and from afar."""
    asker = mesh.boxes[0]
    yield asker
    for name in ("near", "echo"):
        answer = asker.call(name, {"text": "still here"})
        assert (answer.status, answer.json["data"]) == (200, {"text": "still here"})


def assert_problem(answer: Answer, status: int, kind: str, *, executed: str, retryable: bool) -> None:
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json
    assert problem["status"] == status
    assert problem["type"] in (f"urn:zmesh:problem:{kind}", "about:blank")
    assert (problem["executed"], problem["retryable"]) == (executed, retryable)
    assert problem["detail"]
    assert isinstance(problem["attempts"], int)


@pytest.mark.parametrize(
    ("path", "body", "status", "kind", "word"),
    [
        ("/service/nobody-offers-it", b"{}", 404, "no-such-service", "nobody-offers-it"),
        ("/service/No_Name", b"{}", 404, "no-such-service", "No_Name"),
        ("/service/" + "x" * 64, b"{}", 404, "no-such-service", "xxx"),
        ("/service/echo", b'{"text": "half', 400, "malformed-json", "truncated"),
        ("/service/echo", b'{"text": "\xff"}', 400, "malformed-json", "UTF-8"),
        ("/service/echo", b"[" * 90_000, 400, "malformed-json", "nested"),
        ("/service/echo", b"", 400, "malformed-json", "the body is empty"),
        ("/service/echo", b'{"text": 5}', 422, "invalid-input", "$.text"),
        ("/service/near", b'{"text": 5}', 422, "invalid-input", "$.text"),
        ("/service/echo", b"{}", 422, "invalid-input", "`text`"),
        ("/service/echo", b'"' + b"x" * BODY_BYTES_MAX + b'"', 413, "body-too-large", "100000"),
    ],
)
def test_input_that_no_service_sees(asker: Box, path: str, body: bytes, status: int, kind: str, word: str) -> None:
    answer = asker.ask("POST", path, body, headers=JSON)
    assert_problem(answer, status, kind, executed="no", retryable=False)
    assert word in answer.json["detail"]


def test_a_body_over_the_limit_that_does_not_tell_its_length(asker: Box) -> None:
    """Chunked: refused when the limit is passed, not when all has been read; the rest is never sent."""
    connection = http.client.HTTPConnection(asker.address, HTTP_PORT, timeout=10)
    connection.putrequest("POST", "/service/echo")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    chunk = b"x" * 40_000
    for _ in range(3):
        connection.send(b"%x\r\n%b\r\n" % (len(chunk), chunk))
    response = connection.getresponse()
    answer = Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read(), 0)
    connection.close()
    assert_problem(answer, 413, "body-too-large", executed="no", retryable=False)


def test_a_service_that_fails(asker: Box) -> None:
    answer = asker.call("fail", {"text": "no such page"})
    assert_problem(answer, 502, "service-failed", executed="yes", retryable=False)
    assert answer.json["error_type"] == "ValueError"
    assert "no such page" in answer.json["detail"]
    assert "Traceback" not in answer.body.decode()


def test_the_deadline_passes_while_the_service_works(asker: Box) -> None:
    answer = asker.call("nap", {"seconds": 1.5}, {"X-Request-Timeout": "0.3"})
    assert_problem(answer, 504, "deadline-passed", executed="unknown", retryable=False)
    assert 0.3 <= answer.seconds < 1.3
    assert asker.call("nap", {"seconds": 0}).status == 200


def test_the_queue_is_full(mesh: Mesh, asker: Box) -> None:
    """One request runs, one waits; the third is told to come back, at once, and the first two are served."""
    doer = mesh.boxes[1]
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(asker.call, "nap", {"seconds": 1.5, "name": "first"})
        wait_until(lambda: "begin first" in (mesh.directory / "notes").read_text(), 10)
        second = pool.submit(asker.call, "nap", {"seconds": 0, "name": "second"})
        wait_until(lambda: doer.node_says("figures")["zmesh_queue_depth"]['service="nap"'] == 1, 10)
        third = asker.call("nap", {"seconds": 0, "name": "third"})
        assert not first.done()
        assert_problem(third, 503, "busy", executed="no", retryable=True)
        assert int(third.headers["retry-after"]) >= 1
        assert [first.result().status, second.result().status] == [200, 200]
    assert "third" not in (mesh.directory / "notes").read_text()


def test_a_box_without_the_dht_serves_only_itself(mesh: Mesh) -> None:
    """By the variable's old name. A service that only others have is not looked for."""
    hermit = mesh.box("hermit", service("own", "work:echo"), env={"DHT_ENABLED": "false"}).start()
    hermit.wait_for_service("own")
    answer = hermit.call("echo", {"text": "?"})
    assert_problem(answer, 503, "not-initialized", executed="no", retryable=True)
    assert answer.json["detail"] == "DHT router not initialized"
    assert hermit.call("own", {"text": "me"}).json["data"] == {"text": "me"}
    assert list(hermit.members()) == ["hermit"]
    assert "hermit" not in mesh.boxes[0].members()
