"""What became of every request: who asked, which runners began it, what its client was told. Checks what is promised.

The promises: one outcome, before its deadline + 250 ms; service code sees an id at most once in the whole mesh; nobody
is told *not executed* of what a runner began; an answer is the answer to this very question.
"""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass

from tests.simulation.clock import Clock
from tests.simulation.process import Process
from tests.simulation.trace import Trace, Violation
from zmesh.routing.router import Verdict, VerdictKind
from zmesh.wire.request import Executed, Id, RequestId

__all__ = ["GRACE_S", "Entry", "Ledger"]

GRACE_S = 0.25


@dataclass(slots=True)
class Entry:
    """One request."""

    id: RequestId
    gateway: Process
    service: str
    body: bytes
    due_at: float
    runner: str = ""
    """Who began it; empty: nobody yet."""
    verdict: Verdict | None = None
    excused: bool = False
    """Its gateway crashed: nobody was there to tell."""


class Ledger:
    """All requests of a run."""

    def __init__(self, clock: Clock, trace: Trace) -> None:
        self._clock = clock
        self._trace = trace
        self.entries: dict[Id, Entry] = {}
        self.counts: Counter[str] = Counter()
        self._due: list[tuple[float, Id]] = []

    def submitted(self, entry: Entry) -> None:
        """A gateway took a request; its outcome is due by ``entry.due_at``, grace included."""
        self.entries[entry.id] = entry
        self.counts["requests"] += 1
        heapq.heappush(self._due, (entry.due_at, entry.id))
        self._trace.tell(entry.gateway.name, "submits", entry.id, entry.service, f"due {entry.due_at:.3f}")

    def began(self, request_id: Id, runner: str) -> None:
        """A runner gives the request to service code."""
        entry = self.entries[request_id]
        self._trace.tell(runner, "begins", entry.id)
        self.counts["executions"] += 1
        if entry.runner:
            raise Violation("at most once", f"{entry.id} began at {entry.runner} and at {runner}", str(entry.id))
        entry.runner = runner
        self._check_executed(entry)

    def ended(self, request_id: Id, verdict: Verdict) -> None:
        """A client is told the outcome."""
        entry = self.entries[request_id]
        self._trace.tell(entry.gateway.name, "answers", entry.id, verdict.kind.name, verdict.executed, verdict.detail)
        self.counts[f"outcome {verdict.kind.value}"] += 1
        self.counts[f"executed {verdict.executed}"] += 1
        self.counts["retries"] += max(0, verdict.attempts - 1)
        if entry.verdict is not None:
            raise Violation("one outcome", f"{entry.id} was {entry.verdict.kind}, now {verdict.kind}", str(entry.id))
        entry.verdict = verdict
        late_s = self._clock.now - _due(entry)
        if late_s > 1e-6:
            raise Violation("outcome in time", f"{entry.id} has its outcome {late_s:.3f} s late", str(entry.id))
        if verdict.executed is Executed.YES and not entry.runner:
            raise Violation("executed", f"{entry.id}: yes, but no runner began it", str(entry.id))
        if verdict.kind is VerdictKind.OK and bytes(verdict.body) != entry.body:
            raise Violation("the right answer", f"{entry.id} got {bytes(verdict.body)!r}", str(entry.id))
        self._check_executed(entry)

    def gateway_died(self, gateway: Process) -> None:
        """Nobody waits for its answers any more; that service code sees them at most once still holds."""
        for entry in self.entries.values():
            if entry.gateway is gateway and entry.verdict is None:
                entry.excused = True
                self.counts["outcome nobody left to tell"] += 1

    def check_due(self) -> None:
        """Nothing is without an outcome that should have one by now. Cheap: to be called after every step."""
        now = self._clock.now
        while self._due and self._due[0][0] < now - 1e-6:
            _, request_id = heapq.heappop(self._due)
            entry = self.entries[request_id]
            if entry.verdict is not None or entry.excused:
                continue
            due_at = max(now + GRACE_S, _due(entry)) if entry.gateway.frozen else _due(entry)
            if due_at < now - 1e-6:
                raise Violation("outcome in time", f"{entry.id} has no outcome, due {due_at:.3f}", str(entry.id))
            heapq.heappush(self._due, (due_at, request_id))

    @property
    def open(self) -> list[Entry]:
        """Requests that still need an outcome."""
        return [entry for entry in self.entries.values() if entry.verdict is None and not entry.excused]

    def _check_executed(self, entry: Entry) -> None:
        verdict = entry.verdict
        if verdict is not None and verdict.executed is Executed.NO and entry.runner:
            detail = f"{entry.id}: told {verdict.kind.name} and not executed, but {entry.runner} began it"
            raise Violation("executed", detail, str(entry.id))


def _due(entry: Entry) -> float:
    """A frozen or slow gateway has its grace after it is well again."""
    return max(entry.due_at, entry.gateway.excused_until + GRACE_S)
