"""The real gateway: gunicorn with workers as processes, real HTTP, real ZeroMQ, against boxes that echo."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import httpx
import pytest

from tests.integration.boxes import Boxes
from tests.polling import wait_until

PROGRAM = """
import sys, msgspec
from zmesh.config.settings import Settings
from zmesh.errors import ConfigurationError
from zmesh.gateway.server import run
try:
    sys.exit(run(msgspec.json.decode(sys.argv[1], type=Settings)))
except ConfigurationError as error:
    print(error, file=sys.stderr)
    sys.exit(2)
"""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Answer(NamedTuple):
    status: int
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


class Gateway:
    """gunicorn's master as a child process, in a process group of its own as a terminal would give it."""

    def __init__(self, runtime_dir: Path, workers: int, port: int | None = None, **options: Any) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        settings = {
            "node": {"id": "box-a", "runtime_dir": str(runtime_dir), "state_dir": str(runtime_dir)},
            "gateway": {"bind": f"127.0.0.1:{self.port}", "workers": workers, "body_bytes_max": 300_000} | options,
        }
        # A fresh connection for each request, which any worker may accept.
        fresh = httpx.Limits(max_keepalive_connections=0)
        self.http = httpx.Client(base_url=self.url, trust_env=False, timeout=10, limits=fresh)
        self.log = (runtime_dir / "gateway.log").open("w+")
        command = [sys.executable, "-c", PROGRAM, json.dumps(settings)]
        self.process = subprocess.Popen(command, stderr=self.log, stdout=self.log, start_new_session=True)

    def workers(self) -> list[int]:
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def get(self, path: str) -> Answer | None:
        """An answer over a fresh connection, from whichever worker accepts it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return Answer(response.status, response.read().decode())
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def wait_ready(self, workers: int) -> None:
        """Until as many workers as there should be are ready, told apart by the connections they accept."""
        wait_until(lambda: len(self.workers()) == workers, 10)

        def all_ready() -> bool:
            answers = [self.get("/readyz") for _ in range(8 * workers)]
            return all(answer is not None and answer.status == 200 for answer in answers)

        wait_until(all_ready, 15)

    def group(self) -> list[int]:
        """Living processes of its group."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    state, _, group = (entry / "stat").read_text().rsplit(")", 1)[1].split()[:3]
                except OSError:
                    continue
                if int(group) == self.process.pid and state != "Z":
                    found.append(int(entry.name))
        return found

    def text(self) -> str:
        self.log.seek(0)
        return self.log.read()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for left in self.group():  # none, unless what is tested here is broken
            os.kill(left, signal.SIGKILL)
        self.http.close()
        self.log.close()


@pytest.fixture
def runtime_dir() -> Iterator[Path]:
    with TemporaryDirectory(prefix="zm") as directory:  # short: ipc paths are limited
        yield Path(directory)


@pytest.fixture
def boxes(runtime_dir: Path) -> Iterator[Boxes]:
    with Boxes(runtime_dir) as boxes:
        yield boxes


@pytest.fixture
def gateway(runtime_dir: Path, boxes: Boxes) -> Iterator[Gateway]:
    gateway = Gateway(runtime_dir, workers=2)
    try:
        gateway.wait_ready(2)
        yield gateway
    finally:
        gateway.end()


def call(gateway: Gateway, service: str, **options: Any) -> httpx.Response:
    options.setdefault("json", {"text": "bonjour"})
    return gateway.http.post(f"/service/{service}", **options)


def routing(gateway: Gateway) -> dict[str, Any]:
    answer = gateway.get("/stats")
    assert answer is not None
    figures: dict[str, Any] = answer.json()["routing"]
    return figures


def test_requests_reach_this_box_and_the_other(gateway: Gateway, boxes: Boxes) -> None:
    remote = call(gateway, "language-id")
    assert (remote.status_code, remote.json()["message"]) == (200, "Processed by box-b")
    assert remote.json()["data"] == {"bytes": len(b'{"text":"bonjour"}')}
    assert (remote.headers["x-zmesh-route"], remote.headers["x-zmesh-node"]) == ("vpn", "box-b")
    local = call(gateway, "word-count")
    assert (local.json()["message"], local.headers["x-zmesh-route"]) == ("Processed by box-a", "local")
    assert call(gateway, "nope").status_code == 404
    large = call(gateway, "language-id", json=None, content=b"x" * 250_000, headers={"content-type": "image/png"})
    assert large.json() == {"bytes": 250_000}
    health = gateway.get("/health")
    assert health is not None
    assert (health.json()["status"], health.json()["services"]) == ("healthy", ["word-count"])
    metrics = gateway.get("/metrics")
    assert metrics is not None
    assert "zmesh_node_figure 4.0" in metrics.text
    assert 'zmesh_route_total{decision="forwarded"} 2.0' in metrics.text
    assert '"level":"error"' not in gateway.text()


def test_a_body_over_the_limit_is_413_declared_or_chunked(gateway: Gateway, boxes: Boxes) -> None:
    with httpx.Client(base_url=gateway.url, trust_env=False) as client:
        declared = client.post("/service/word-count", content=b"1" * 300_001)
        chunked = client.post("/service/word-count", content=iter([b"1" * 100_000] * 5))
        assert (declared.status_code, chunked.status_code) == (413, 413)
        assert client.post("/service/word-count", content=b"1" * 300_000).status_code == 200
    assert len(boxes.requests) == 1


def test_totals_are_the_same_from_each_worker_and_survive_one(gateway: Gateway) -> None:
    answered: Counter[int] = Counter()

    def load(count: int) -> None:
        for _ in range(count):
            answer = call(gateway, "language-id")
            answered[answer.status_code] += 1

    load(60)
    victim = gateway.workers()[0]
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: victim not in gateway.workers() and len(gateway.workers()) == 2, 10)
    gateway.wait_ready(2)
    load(40)
    assert answered == {200: 100}
    seen = [routing(gateway) for _ in range(16)]
    assert all(figures == seen[0] for figures in seen)
    figures = seen[0]
    assert (figures["forwarded_requests"], figures["local_requests"], figures["failed_requests"]) == (100, 0, 0)
    assert figures["cache_hits"] + figures["cache_misses"] == 100
    assert 1 <= figures["cache_misses"] <= 3
    assert figures["dht_lookups"] == figures["cache_misses"]
    assert figures["cache_size"] == 1


def test_a_client_that_goes_away_takes_its_request_along(gateway: Gateway, boxes: Boxes) -> None:
    body = b"{}"
    head = f"POST /service/never HTTP/1.1\r\nhost: a\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", gateway.port)) as client:
        client.sendall(head + body)
        wait_until(lambda: boxes.requests, 5, what="the request at box-b")
        assert boxes.cancelled == []
    wait_until(lambda: boxes.cancelled, 5, what="the request's CANCEL")
    assert boxes.cancelled == [boxes.requests[0][1].id]


def test_the_gateway_outlives_its_node(runtime_dir: Path) -> None:
    with Boxes(runtime_dir) as boxes:
        gateway = Gateway(runtime_dir, workers=1)
        try:
            gateway.wait_ready(1)
            assert call(gateway, "word-count").status_code == 200
            boxes.stop_home()
            # One that goes out before the gateway has noticed was in the vanished node's hands: 502.
            wait_until(lambda: call(gateway, "word-count").status_code == 503, 5)
            document = call(gateway, "word-count").json()
            assert (document["status"], document["executed"]) == (503, "no")
            assert call(gateway, "language-id").status_code == 200
            ready = gateway.get("/readyz")
            assert ready is not None
            assert ready.status == 200
            boxes.start_home(instance=12)
            answers = []

            def local_again() -> bool:
                answers.append(call(gateway, "language-id").status_code)
                return call(gateway, "word-count").status_code == 200

            wait_until(local_again, 10)
            assert set(answers) == {200}
        finally:
            gateway.end()


def test_a_taken_port_is_one_clear_line_and_status_2(gateway: Gateway, runtime_dir: Path, tmp_path: Path) -> None:
    second = Gateway(tmp_path, workers=1, port=gateway.port)
    try:
        assert second.process.wait(5) == 2
        (line,) = [line for line in second.text().splitlines() if "cannot listen" in line]
        assert f"127.0.0.1:{gateway.port}" in line
        assert "(pid " in line
        assert "gateway.bind" in line
    finally:
        second.end()


@pytest.mark.parametrize("whom", ["group", "master"])
def test_ctrl_c_ends_everything_within_3_s(gateway: Gateway, whom: str, boxes: Boxes) -> None:
    idle = httpx.Client(base_url=gateway.url, trust_env=False)
    assert idle.get("/livez").status_code == 200
    hanging = threading.Thread(target=lambda: _ignore_errors(gateway))
    hanging.start()
    wait_until(lambda: boxes.requests, 5)
    if whom == "group":
        os.killpg(gateway.process.pid, signal.SIGINT)
    else:
        gateway.process.send_signal(signal.SIGINT)
    assert gateway.process.wait(3) == 0
    assert gateway.group() == []
    hanging.join()
    idle.close()


def _ignore_errors(gateway: Gateway) -> None:
    try:
        call(gateway, "never")
    except httpx.TransportError:
        return


def test_who_waits_beyond_the_graceful_time_hears_that_nobody_knows(runtime_dir: Path, boxes: Boxes) -> None:
    gateway = Gateway(runtime_dir, workers=1, graceful_timeout_s=0.7)
    answers: list[httpx.Response] = []
    try:
        gateway.wait_ready(1)
        hanging = threading.Thread(target=lambda: answers.append(call(gateway, "never")))
        hanging.start()
        wait_until(lambda: boxes.requests, 5)
        gateway.process.send_signal(signal.SIGTERM)
        hanging.join()
        (answer,) = answers
        assert (answer.status_code, answer.json()["executed"]) == (502, "unknown")
        assert gateway.process.wait(3) == 0
    finally:
        gateway.end()


def test_workers_do_not_outlive_a_killed_master(gateway: Gateway) -> None:
    assert len(gateway.group()) == 3
    gateway.process.kill()
    gateway.process.wait()
    wait_until(lambda: gateway.group() == [], 5, what="the end of the workers")


def test_a_restart_under_load_fails_no_request(runtime_dir: Path, boxes: Boxes) -> None:
    gateway = Gateway(runtime_dir, workers=2)
    statuses: Counter[int | str] = Counter()
    stop = threading.Event()

    def load() -> None:
        with httpx.Client(base_url=gateway.url, trust_env=False, timeout=10) as client:
            while not stop.is_set():
                try:
                    statuses[client.post("/service/word-count", json={}).status_code] += 1
                except httpx.TransportError as error:
                    statuses[repr(error)] += 1

    try:
        gateway.wait_ready(2)
        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        wait_until(lambda: statuses[200] > 100, 10)
        before = set(gateway.workers())
        gateway.process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(gateway.workers()) == 2 and not before & set(gateway.workers()), 10)
        after = statuses[200]
        wait_until(lambda: statuses[200] > after + 100, 10)
        stop.set()
        for thread in threads:
            thread.join()
        assert set(statuses) == {200}
    finally:
        stop.set()
        gateway.end()
