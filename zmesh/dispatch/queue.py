"""Work that waits for a free runner: one queue a service, first come first served, bounded in length and bytes.

Decides what fits and what has waited too long. Does not know who is told about it.
"""

from __future__ import annotations

from collections import OrderedDict

from zmesh.dispatch.execution import Execution
from zmesh.wire.request import Id

__all__ = ["Backlog", "Queue"]


class Backlog:
    """Bytes of waiting bodies over all services of the node."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.bytes = 0


class Queue:
    """The waiting executions of one service."""

    def __init__(self, length_max: int, backlog: Backlog) -> None:
        self.length_max = length_max
        self._backlog = backlog
        self.waiting: OrderedDict[Id, Execution] = OrderedDict()
        """In the order in which they will be taken; to be read only."""
        # No waiting execution expires before this.
        self._earliest_deadline = float("inf")

    def __len__(self) -> int:
        return len(self.waiting)

    def has_room(self, body_bytes: int) -> bool:
        """Whether one more with so large a body may wait."""
        return len(self.waiting) < self.length_max and self._backlog.bytes + body_bytes <= self._backlog.bytes_max

    def push(self, execution: Execution) -> None:
        """To the end; the caller has asked ``has_room``."""
        self.waiting[execution.id] = execution
        self._backlog.bytes += len(execution.body)
        self._earliest_deadline = min(self._earliest_deadline, execution.deadline)

    def push_front(self, execution: Execution) -> None:
        """Back to its place before all others, bounds or not: it was taken from here and came to no runner."""
        self.push(execution)
        self.waiting.move_to_end(execution.id, last=False)

    def pop(self) -> Execution | None:
        """The longest waiting one; None when nothing waits."""
        if not self.waiting:
            return None
        _id, execution = self.waiting.popitem(last=False)
        self._backlog.bytes -= len(execution.body)
        return execution

    def remove(self, execution: Execution) -> None:
        """Take one out of the middle."""
        del self.waiting[execution.id]
        self._backlog.bytes -= len(execution.body)

    def take_expired(self, now: float) -> list[Execution]:
        """Take out those that no runner would start in time."""
        if now < self._earliest_deadline:
            return []
        expired = [execution for execution in self.waiting.values() if execution.remaining_ms(now) == 0]
        for execution in expired:
            self.remove(execution)
        self._earliest_deadline = min((left.deadline for left in self.waiting.values()), default=float("inf"))
        return expired

    def take_all(self) -> list[Execution]:
        """Empty the queue."""
        waiting = list(self.waiting.values())
        self.waiting.clear()
        self._backlog.bytes -= sum(len(execution.body) for execution in waiting)
        self._earliest_deadline = float("inf")
        return waiting
