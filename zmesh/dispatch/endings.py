"""How requests end here: the answer is recorded for later copies, sent to whoever waits, and told as an event.

Decides the words of every end. Does not decide when one comes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable

from zmesh.dispatch.event import Event, Outgoing, RequestEnded
from zmesh.dispatch.execution import Execution
from zmesh.dispatch.executions import Executions
from zmesh.wire import Body
from zmesh.wire.request import Id, NotStarted, Outcome, Reason, Reply, Request

__all__ = ["Endings", "Outbox"]


class Outbox:
    """What the shell has not taken yet."""

    def __init__(self) -> None:
        self.messages: list[Outgoing] = []
        self.events: deque[Event] = deque()


class Endings:
    """Ends executions; each once, which ``Execution.ended_at`` shows."""

    def __init__(self, node_id: str, executions: Executions, outbox: Outbox) -> None:
        self._node_id = node_id
        self._executions = executions
        self._outbox = outbox

    def ran(self, execution: Execution, reply: Reply, body: Body, now: float) -> None:
        """Its runner has answered. If nobody wants it any more, the answer goes no further."""
        if execution.cancelled:
            self.cancelled(execution, now)
            return
        started_at = execution.started_at
        answer = Reply(
            reply.id,
            reply.outcome,
            self._node_id,
            reply.content_type,
            int((started_at - execution.arrived_at) * 1e6),
            reply.run_us or int((now - started_at) * 1e6),
            reply.error_type,
            reply.detail,
        )
        self._end(execution, answer, body, now)

    def cancelled(self, execution: Execution, now: float) -> None:
        """Its asker gave it up; an asker that still waits for the answer gets to know that it took effect."""
        self._end(execution, self._without_output(execution, Outcome.CANCELLED, "", now), b"", now)

    def lost(self, execution: Execution, detail: str, now: float) -> None:
        """Its runner is gone; nobody knows how far it got."""
        self._end(execution, self._without_output(execution, Outcome.LOST, detail, now), b"", now)

    def not_started(self, execution: Execution, reason: Reason, now: float, retry_after_ms: int = 0) -> None:
        """It was certainly not given to service code, and will not be."""
        answer = NotStarted(execution.id, reason, self._node_id, retry_after_ms)
        self._end(execution, answer, b"", now)

    def refused(self, request: Request, route: Hashable, reason: Reason, retry_after_ms: int, now: float) -> None:
        """Not taken on arrival. Remembered: a later copy of what was said not to start must not start."""
        answer = NotStarted(request.id, reason, self._node_id, retry_after_ms)
        if self._executions.make_room(now):
            execution = Execution(request.id, request.service, now, now)
            self._executions.add(execution)
            self._executions.end(execution, answer, b"", now)
        else:
            self._executions.shun(request.id, now)
        self._send(route, answer)
        self._tell(request.id, request.service, answer)

    def meant_for_another(self, request: Request, route: Hashable) -> None:
        """It names another start of this node. Not remembered: no copy of it is this instance's to run."""
        answer = NotStarted(request.id, Reason.WRONG_INSTANCE, self._node_id)
        self._send(route, answer)
        self._tell(request.id, request.service, answer)

    def forgotten(self, request: Request, route: Hashable) -> None:
        """It is not known, and may have run here before."""
        answer = self._forgotten(request.id)
        self._send(route, answer)
        self._tell(request.id, request.service, answer)

    def repeated(self, execution: Execution, route: Hashable) -> None:
        """A copy of one that has ended, or is cancelled and will: the same answer, while it is kept."""
        if execution.answer is not None:
            self._outbox.messages.append(Outgoing(route, execution.answer, execution.answer_body))
        elif execution.ended_at is None:
            self._send(route, Reply(execution.id, Outcome.CANCELLED, self._node_id))
        else:
            self._send(route, self._forgotten(execution.id))

    def _end(self, execution: Execution, answer: Reply | NotStarted, body: Body, now: float) -> None:
        self._executions.end(execution, answer, body, now)
        asker = execution.asker
        if asker is not None:
            asker.detach(execution)
            # One that may come back over another connection attaches, and is answered from memory.
            if asker.orphaned_until is None:
                self._outbox.messages.append(Outgoing(asker.route, answer, body))
        self._tell(execution.id, execution.service, answer)

    def _send(self, route: Hashable, answer: Reply | NotStarted) -> None:
        self._outbox.messages.append(Outgoing(route, answer))

    def _tell(self, request_id: Id, service: str, answer: Reply | NotStarted) -> None:
        if type(answer) is Reply:
            event = RequestEnded(request_id, service, answer.outcome, answer.queue_us, answer.run_us, answer.detail)
        else:
            assert isinstance(answer, NotStarted)
            event = RequestEnded(request_id, service, answer.reason)
        self._outbox.events.append(event)

    def _without_output(self, execution: Execution, outcome: Outcome, detail: str, now: float) -> Reply:
        return Reply(
            execution.id,
            outcome,
            self._node_id,
            "",
            execution.queue_us(now),
            execution.run_us(now),
            "",
            detail,
        )

    def _forgotten(self, request_id: Id) -> Reply:
        detail = "this request was seen here before, or may have been; its answer is no longer kept"
        return Reply(request_id, Outcome.FORGOTTEN, self._node_id, detail=detail)
