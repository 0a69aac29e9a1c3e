"""Closed-loop HTTP load from one process: so many connections, each sends its next request when the last is answered.

Made for measuring servers on a small machine: one request is prepared once and sent as it is, answers are found by
their Content-Length. It speaks to loopback only and ends after a given number of requests.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import cast

import uvloop

__all__ = ["Load", "measure"]


@dataclass(frozen=True)
class Load:
    """What one run saw."""

    requests: int
    failed: int
    seconds: float
    latencies_s: list[float]
    """Sorted."""

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds

    def percentile_ms(self, share: float) -> float:
        return self.latencies_s[min(int(len(self.latencies_s) * share), len(self.latencies_s) - 1)] * 1000


class _Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._buffer = b""
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's is none by name
        self._next()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        lowered = head.lower()
        start = lowered.index(b"content-length:") + 15
        end = lowered.find(b"\r", start)
        if len(rest) < int(lowered[start : end if end > 0 else None]):
            return
        self._buffer = b""
        self._run.answered(time.perf_counter() - self._sent_at, ok=head[9:12] == b"200")
        self._next()

    def connection_lost(self, error: Exception | None) -> None:
        self._run.ended()

    def _next(self) -> None:
        if self._run.take():
            self._sent_at = time.perf_counter()
            self._transport.write(self._run.request)
        else:
            self._transport.close()


class _Run:
    def __init__(self, request: bytes, requests: int, connections: int) -> None:
        self.request = request
        self.left = requests
        self.open = connections
        self.latencies_s: list[float] = []
        self.failed = 0
        self.done = asyncio.Event()

    def take(self) -> bool:
        self.left -= 1
        return self.left >= 0

    def answered(self, latency_s: float, *, ok: bool) -> None:
        self.latencies_s.append(latency_s)
        self.failed += not ok

    def ended(self) -> None:
        self.open -= 1
        if not self.open:
            self.done.set()


def measure(address: str, port: int, path: str, body: bytes, *, requests: int, in_flight: int) -> Load:
    """POST ``body`` to ``path`` ``requests`` times over ``in_flight`` connections."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )

    async def run() -> Load:
        state = _Run(head.encode() + body, requests, in_flight)
        loop = asyncio.get_running_loop()
        began = time.perf_counter()
        for _ in range(in_flight):
            await loop.create_connection(lambda: _Client(state), address, port)
        async with asyncio.timeout(120):
            await state.done.wait()
        seconds = time.perf_counter() - began
        return Load(len(state.latencies_s), state.failed, seconds, sorted(state.latencies_s))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run())
