"""``bin/bench quick``: what a request costs, local and across the mesh, against a bare Falcon app, in one run.

Two boxes on loopback with one gateway worker each. Each shape is measured in turns with the others, several rounds,
and the medians are printed: on a noisy machine only figures of one run compare.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.benchmarks.load import Load, measure
from tests.boxes import Box, Process, service
from tests.polling import wait_until

BARE_PORT = 8009
BODY = json.dumps({"text": "x" * 180}).encode()


@dataclass(frozen=True)
class Shape:
    """One way a request can go."""

    name: str
    address: str
    port: int
    path: str
    processes: list[int]
    """Roots of the process trees that serve it."""


@dataclass(frozen=True)
class Measured:
    load: Load
    cpu_us: float
    """User and system time of all server processes, per request."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="bin/bench quick", description=__doc__)
    parser.add_argument("--requests", type=int, default=3_000, help="a round and shape (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="zb-") as directory, shapes(Path(directory)) as all_shapes:
        for in_flight in (1, 32):
            report(in_flight, all_shapes, options.requests, options.rounds)


def report(in_flight: int, all_shapes: list[Shape], requests: int, rounds: int) -> None:
    for shape in all_shapes:
        run(shape, max(requests // 10, in_flight), in_flight)
    results: dict[str, list[Measured]] = {shape.name: [] for shape in all_shapes}
    for _ in range(rounds):
        for shape in all_shapes:
            results[shape.name].append(run(shape, requests, in_flight))
    print(f"\n{in_flight} in flight, {len(BODY)} B, median of {rounds} rounds of {requests} requests")
    print(f"{'':32} {'requests/s':>10} {'p50 ms':>8} {'p99 ms':>8} {'CPU us/request':>15} {'failed':>7}")
    for shape in all_shapes:
        rows = results[shape.name]
        print(
            f"{shape.name:32} {median(r.load.per_second for r in rows):10.0f}"
            f" {median(r.load.percentile_ms(0.50) for r in rows):8.2f}"
            f" {median(r.load.percentile_ms(0.99) for r in rows):8.2f}"
            f" {median(r.cpu_us for r in rows):15.0f} {sum(r.load.failed for r in rows):7}"
        )
    sys.stdout.flush()


def median(values: Iterator[float]) -> float:
    return statistics.median(values)


def run(shape: Shape, requests: int, in_flight: int) -> Measured:
    before = cpu_s(shape.processes)
    load = measure(shape.address, shape.port, shape.path, BODY, requests=requests, in_flight=in_flight)
    return Measured(load, (cpu_s(shape.processes) - before) / load.requests * 1e6)


def cpu_s(roots: list[int]) -> float:
    total = 0.0
    for root in roots:
        for process in (psutil.Process(root), *psutil.Process(root).children(recursive=True)):
            times = process.cpu_times()
            total += times.user + times.system
    return total


@contextmanager
def shapes(directory: Path) -> Iterator[list[Shape]]:
    """Start what is measured; everything is stopped on the way out."""
    boxes = [
        Box("asker", "127.0.0.1", directory / "a", [service("here", "work:echo")]),
        Box("doer", "127.0.0.2", directory / "b", [service("there", "work:echo")], ["127.0.0.1:7402"]),
        Box(
            *("looker", "127.0.0.3", directory / "c", (), ["127.0.0.1:7402"]),
            settings={"gateway": {"finger_ttl_s": 0}},
        ),
    ]
    with ExitStack() as stack:
        for box in boxes:
            stack.callback(box.stop)
            box.start()
        bare = Process(
            [sys.executable, "-m", "tests.benchmarks.bare", f"127.0.0.1:{BARE_PORT}"], directory / "bare.log"
        )
        stack.callback(bare.stop)
        asker, _, looker = boxes
        asker.wait_for_service("here")
        for box in (asker, looker):
            box.wait_for_service("there")
        wait_until(lambda: psutil.Process(bare.pid).children(), 10.0)
        mesh = [process.pid for box in boxes for process in (box.node, box.gateway) if process is not None]
        yield [
            Shape("bare Falcon", "127.0.0.1", BARE_PORT, "/", [bare.pid]),
            Shape("local", asker.address, 8000, "/service/here", mesh),
            Shape("forwarded, cached", asker.address, 8000, "/service/there", mesh),
            Shape("forwarded, finger_ttl_s = 0", looker.address, 8000, "/service/there", mesh),
        ]


if __name__ == "__main__":
    main()
