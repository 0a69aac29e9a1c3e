"""/stats over several workers: one truth whichever answers, also after one was killed."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from tests.boxes import Box, Process, service
from tests.mesh import Mesh
from tests.polling import wait_until

WORKERS = 4
REQUESTS = 1000
IN_FLIGHT = 8


def test_totals_of_four_workers_over_the_death_of_one(mesh: Mesh) -> None:
    """500 requests, a look at the fingers, 500 more with SIGKILL for a worker in the middle of them."""
    asker = mesh.box("asker", workers=WORKERS)
    mesh.box("doer", service("echo", "work:echo", concurrency=4))
    mesh.start()
    asker.wait_for_service("echo")
    assert asker.gateway is not None
    wait_until(lambda: all_serve(asker), 20, what="every worker knows the service")

    statuses = Counter(ask_many(asker, REQUESTS // 2))
    assert statuses == {200: REQUESTS // 2}
    routing = totals(asker)
    assert routing["forwarded_requests"] == REQUESTS // 2
    assert routing["cache_hits"] + routing["cache_misses"] == REQUESTS // 2
    assert 1 <= routing["cache_misses"] <= WORKERS
    assert routing["dht_lookups"] == routing["cache_misses"]

    victim = asker.gateway.children[0]
    later = ask_many(asker, REQUESTS // 2)
    statuses.update(next(later) for _ in range(REQUESTS // 4))
    os.kill(victim, signal.SIGKILL)
    statuses.update(later)
    print(f"clients saw {dict(statuses)}, 0: the connection broke")
    assert set(statuses) <= {200, 0}
    assert statuses[0] <= IN_FLIGHT

    wait_until(lambda: victim not in workers(asker) and all_serve(asker), 20, what="another worker in its place")
    routing = totals(asker)
    assert statuses[200] <= routing["forwarded_requests"] <= statuses.total()
    assert routing["cache_hits"] + routing["cache_misses"] == routing["forwarded_requests"]
    assert routing["failed_requests"] == routing["local_requests"] == 0


def ask_many(box: Box, count: int) -> Iterator[int]:
    """Statuses of ``count`` calls, IN_FLIGHT at a time, as they come; 0 where the connection broke."""
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        yield from pool.map(lambda number: ask(box, number), range(count))


def ask(box: Box, number: int) -> int:
    try:
        return box.call("echo", {"text": str(number)}).status
    except OSError:
        return 0


def totals(box: Box) -> dict[str, float]:
    """``routing`` of /stats, the same from each worker: all others are frozen while one is asked."""
    answers = []
    for worker in workers(box):
        with only(worker, box):
            answers.append(box.ask("GET", "/stats").json["routing"])
    assert len(answers) == WORKERS
    assert all(answer == answers[0] for answer in answers)
    print(f"every worker says {answers[0]}")
    routing: dict[str, float] = answers[0]
    return routing


def all_serve(box: Box) -> bool:
    """Every worker is there and knows the service."""
    if len(workers(box)) != WORKERS:
        return False
    for worker in workers(box):
        with only(worker, box):
            if "echo" not in box.services_seen():
                return False
    return True


@contextmanager
def only(worker: int, box: Box) -> Iterator[None]:
    """Freeze all workers but one, so that it is the one that answers."""
    others = [pid for pid in workers(box) if pid != worker]
    for pid in others:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in others:
            os.kill(pid, signal.SIGCONT)


def workers(box: Box) -> list[int]:
    assert isinstance(box.gateway, Process)
    return box.gateway.children
