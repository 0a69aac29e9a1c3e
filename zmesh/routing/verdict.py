"""How a request ended: the router's last word, for the gateway to put into HTTP."""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from zmesh.wire import Body
from zmesh.wire.request import Executed, Outcome

__all__ = ["VERDICTS", "FingerChanged", "Finished", "Lookup", "RouterEvent", "Timings", "Verdict", "VerdictKind"]


class VerdictKind(Enum):
    """What became of a request. The comment is its HTTP status."""

    OK = "ok"  # 200
    NO_SUCH_SERVICE = "no such service"  # 404
    NOT_INITIALISED = "not initialised"  # 503: remote is disabled or the table not known, and it is not local
    BUSY = "busy"  # 503
    DRAINING = "draining"  # 503
    DEAD = "dead"  # 503: all that offered it are dead, gone or out of reach
    DEADLINE = "deadline"  # 504
    INVALID = "invalid"  # 422
    UNSUPPORTED = "unsupported"  # 415
    RAISED = "raised"  # 502
    TOO_LARGE = "too large"  # 502
    LOST = "lost"  # 502: it was handed over and nobody can tell how it ended
    CANCELLED = "cancelled"  # the client has gone


VERDICTS: dict[Outcome, tuple[VerdictKind, Executed]] = {
    Outcome.OK: (VerdictKind.OK, Executed.YES),
    Outcome.INVALID: (VerdictKind.INVALID, Executed.NO),
    Outcome.RAISED: (VerdictKind.RAISED, Executed.YES),
    Outcome.TOO_LARGE: (VerdictKind.TOO_LARGE, Executed.YES),
    Outcome.LOST: (VerdictKind.LOST, Executed.UNKNOWN),
    # Nobody here cancelled it, or it would have ended here: the node took this gateway for gone.
    Outcome.CANCELLED: (VerdictKind.LOST, Executed.UNKNOWN),
    Outcome.FORGOTTEN: (VerdictKind.LOST, Executed.UNKNOWN),
    Outcome.UNSUPPORTED: (VerdictKind.UNSUPPORTED, Executed.NO),
}
"""What a REPLY's outcome means to the asker (PROTOCOL section 4.5)."""

_RETRYABLE = frozenset({VerdictKind.NOT_INITIALISED, VerdictKind.BUSY, VerdictKind.DRAINING, VerdictKind.DEAD})
_NOT_FAILED = frozenset({VerdictKind.OK, VerdictKind.INVALID, VerdictKind.UNSUPPORTED, VerdictKind.CANCELLED})


class Timings(Struct, frozen=True, gc=False):
    """Where the time went, microseconds."""

    route_us: int = 0
    """From submission to the last hand-over, earlier attempts included."""
    net_us: int = 0
    """From the last hand-over to the reply, without the node's share."""
    queue_us: int = 0
    run_us: int = 0


class Verdict(Struct, frozen=True):
    """The end of one request."""

    kind: VerdictKind
    executed: Executed
    """What may be concluded about service code."""
    attempts: int = 0
    """Hand-overs, those later proven not started included."""
    node_id: str = ""
    """Who has or may have run it; empty: nobody."""
    route: str = ""
    """Path to that node."""
    retry_after_ms: int = 0
    """When to come back, by the shortest of the queues; 0: unknown."""
    content_type: str = ""
    body: Body = b""
    error_type: str = ""
    detail: str = ""
    timings: Timings = Timings()

    @property
    def retryable(self) -> bool:
        """The same request may succeed later, and service code has certainly not seen it."""
        return self.executed is Executed.NO and (self.kind in _RETRYABLE or self.kind is VerdictKind.DEADLINE)

    @property
    def failed(self) -> bool:
        """The mesh or the service failed the client; not counted: the client's own faults and its going away."""
        return self.kind not in _NOT_FAILED


class Lookup(Enum):
    """The finger look-up of a request's first routing."""

    NONE = "none"
    """None was needed: local, or refused before."""
    HIT = "hit"
    MISS = "miss"
    """The table was asked: also one DHT look-up, also when it ends in 404."""


class Finished(Struct, frozen=True):
    """A request has its outcome; exactly one of these for each submission."""

    request_id: tuple[int, int]
    verdict: Verdict
    lookup: Lookup


class FingerChanged(Struct, frozen=True):
    """A service's nodes are remembered until ``expires_at`` (seconds, the router's clock); None: no longer."""

    service: str
    expires_at: float | None


RouterEvent = Finished | FingerChanged
