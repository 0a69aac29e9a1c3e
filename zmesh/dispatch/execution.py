"""One request's stay on this node, from its arrival until its id is forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from zmesh.wire import Body
from zmesh.wire.request import Id, NotStarted, Reply, Request

if TYPE_CHECKING:
    from zmesh.dispatch.askers import AskerRoute
    from zmesh.dispatch.slots import Runner

__all__ = ["Execution"]


class Execution(Struct, eq=False):
    """Queued while it has neither ``runner`` nor ``ended_at``, then running, then ended.

    It may have ended for its asker while its runner still holds it: an ended execution can occupy a slot.
    """

    id: Id
    service: str
    arrived_at: float
    deadline: float
    request: Request | None = None
    """Until it has ended."""
    body: Body = b""
    asker: AskerRoute | None = None
    """Where the answer goes; None: nobody waits for it any more."""
    runner: Runner | None = None
    started_at: float = 0.0
    cancelled: bool = False
    """Given to a runner, then no longer wanted; its slot stays taken until the runner answers or dies."""
    ended_at: float | None = None
    answer: Reply | NotStarted | None = None
    """What its asker was told; None before the end, and again once the answer is no longer kept."""
    answer_body: Body = b""

    def queue_us(self, now: float) -> int:
        """Microseconds it waited, or has waited so far, for a free runner."""
        return int(((self.started_at if self.runner else now) - self.arrived_at) * 1e6)

    def run_us(self, now: float) -> int:
        """Microseconds it has had a slot; 0 when it never had one."""
        return int((now - self.started_at) * 1e6) if self.runner else 0

    def remaining_ms(self, now: float) -> int:
        """Whole milliseconds until its asker gives up; 0 when there is no point in starting it."""
        return max(0, int((self.deadline - now) * 1e3))
