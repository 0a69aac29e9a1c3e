"""The life of one request, from submission to its one outcome. The transitions are a table.

::

    FREE         no instance can have it          --HAND_OVER-->                HANDED_OVER
    HANDED_OVER  one instance may be running it   --REFUSED, NOT_STARTED-->     FREE
    either                                        --an answer, or giving up-->  ENDED

This is the whole of at most once: there is no way from HANDED_OVER to another hand-over but through FREE, and only a
proof leads there. Since a request leaves FREE for one instance at a time, the instance that answers NOT_STARTED is the
only one that can have it. An instance that was tried is never tried again: it has refused this id for good.

Knows nothing of clocks, connections or of how instances are chosen.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import IntEnum
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

from zmesh.errors import LocalProtocolError
from zmesh.routing.verdict import Lookup
from zmesh.wire import Body
from zmesh.wire.request import Executed, Reason, Request, RequestId

if TYPE_CHECKING:
    from zmesh.routing.endpoint import Candidate, Endpoint

__all__ = ["Flight", "Options", "Sign", "State"]


class State(IntEnum):
    """Who can have the request."""

    FREE = 0
    HANDED_OVER = 1
    ENDED = 2


class Sign(IntEnum):
    """What happens to a request."""

    HAND_OVER = 0
    REFUSED = 1
    """The shell could not send it: it has left this process on no connection."""
    NOT_STARTED = 2
    """The instance that was sent it says that service code has not seen it and will not."""
    REPLY = 3
    TARGET_GONE = 4
    """That instance is dead, has left or was replaced by a new one."""
    DEADLINE = 5
    CANCEL = 6
    """The client has gone."""
    NOBODY = 7
    """There is nobody to send it to, or no attempt left."""


_TRANSITIONS: dict[State, dict[Sign, State]] = {
    State.FREE: {
        Sign.HAND_OVER: State.HANDED_OVER,
        Sign.DEADLINE: State.ENDED,
        Sign.NOBODY: State.ENDED,
    },
    State.HANDED_OVER: {
        Sign.REFUSED: State.FREE,
        Sign.NOT_STARTED: State.FREE,
        Sign.REPLY: State.ENDED,
        Sign.TARGET_GONE: State.ENDED,
        Sign.DEADLINE: State.ENDED,
        Sign.CANCEL: State.ENDED,
    },
    State.ENDED: {},
}

Options: TypeAlias = tuple[str, str, str, str, str, tuple[tuple[str, str], ...]]
"""What of a request is passed on unread: content type, traceparent, idempotency key, method, path, headers."""

_HAND_OVER = Sign.HAND_OVER  # an Enum's members cost 0.2 us each through the class, before Python 3.12


class Flight(Struct, eq=False):
    """One request under way."""

    id: RequestId
    service: str
    body: Body
    options: Options
    submitted_at: float
    deadline: float
    tick: int = 0
    """Where ``Deadlines`` keeps it."""
    state: State = State.FREE
    attempts: int = 0
    candidate: Candidate | None = None
    """Who may have it while it is HANDED_OVER; afterwards who had it last."""
    handed_at: float = 0.0
    repeated: bool = False
    """It was sent to the same instance again, so that a refused copy no longer proves that none arrived."""
    tried: Collection[Endpoint] = frozenset()
    """Those that certainly have not started it, and will not."""
    lookup: Lookup = Lookup.NONE
    busy: bool = False
    """One of them was busy, ``retry_after_ms`` at least (0: it did not say)."""
    retry_after_ms: int = 0
    draining: bool = False
    """One of them was draining."""
    detail: str = ""

    @property
    def executed(self) -> Executed:
        """What may be concluded about service code while there is no reply."""
        return Executed.UNKNOWN if self.state is State.HANDED_OVER else Executed.NO

    def advance(self, sign: Sign) -> None:
        """Take ``sign``. Raises LocalProtocolError, and nothing changed, where the table has no way."""
        state = _TRANSITIONS[self.state].get(sign)
        if state is None:
            raise LocalProtocolError(f"request {self.id} is {self.state.name}: no {sign.name}")
        self.state = state

    def hand_over(self, candidate: Candidate, now: float) -> Request:
        """The REQUEST for ``candidate``, which from now on may have it."""
        self.advance(_HAND_OVER)
        self.candidate = candidate
        self.handed_at = now
        self.repeated = False
        self.detail = ""
        self.attempts += 1
        return self._request(candidate, now)

    def repeat(self, now: float) -> Request:
        """The same REQUEST for the instance that may have it; the node attaches a copy to what it has of that id."""
        assert self.candidate is not None
        self.repeated = True
        return self._request(self.candidate, now)

    def _request(self, candidate: Candidate, now: float) -> Request:
        content_type, traceparent, idempotency_key, method, path, headers = self.options
        return Request(
            self.id,
            candidate.endpoint.instance,
            self.service,
            max(1, int((self.deadline - now) * 1000)),
            self.attempts,
            content_type,
            traceparent,
            idempotency_key,
            0,
            method,
            path,
            headers,
        )

    def take_back(self, sign: Sign, endpoint: Endpoint, detail: str) -> None:
        """``endpoint``, which had it, certainly has not started it (REFUSED or NOT_STARTED) and is not asked again."""
        self.advance(sign)
        self.tried = {*self.tried, endpoint}
        self.detail = detail

    def note(self, reason: Reason, retry_after_ms: int) -> None:
        """Why it was not started; of several queues the shortest says when to come back."""
        if reason is Reason.BUSY:
            if retry_after_ms and (not self.retry_after_ms or retry_after_ms < self.retry_after_ms):
                self.retry_after_ms = retry_after_ms
            self.busy = True
        elif reason is Reason.DRAINING:
            self.draining = True
