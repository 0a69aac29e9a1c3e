"""Which versions and kinds each socket takes, by the role of whoever speaks there: a runner cannot gossip."""

from __future__ import annotations

from zmesh.wire import control, event, membership, request
from zmesh.wire.frame import RUNNER_VERSION, VERSION, Dialect
from zmesh.wire.kind import Kind

__all__ = [
    "CONTROL_ANSWERS",
    "CONTROL_QUESTIONS",
    "EVENTS",
    "FROM_GATEWAY",
    "FROM_NODE_TO_GATEWAY",
    "FROM_NODE_TO_RUNNER",
    "FROM_PEER_NODE",
    "FROM_RUNNER",
    "GOSSIP",
    "LOBBY_ANSWERS",
    "LOBBY_QUESTIONS",
    "REQUEST_ROUTER",
]

# A dialect reads what these modules register.
_HEADERS = (control, event, membership, request)

_ASKER = (Kind.REQUEST, Kind.CANCEL, Kind.CREDIT, Kind.CHUNK, Kind.GOAWAY_ACK, Kind.PING)
_DOER = (Kind.REPLY, Kind.NOT_STARTED, Kind.BEAT, Kind.GOAWAY, Kind.CHUNK, Kind.CREDIT, Kind.ACK)
_SYNC = (Kind.DIGEST, Kind.VERSIONS, Kind.DELTA)


def _mesh(*kinds: Kind) -> Dialect:
    return Dialect(frozenset({VERSION}), frozenset(kinds))


def _runner(*kinds: Kind) -> Dialect:
    return Dialect(frozenset({RUNNER_VERSION}), frozenset(kinds))


FROM_GATEWAY = _mesh(*_ASKER, Kind.REPLICA_REQUEST, Kind.CONTROL_REQUEST)
"""gateway.ipc: this box's gateways to their node."""

FROM_NODE_TO_GATEWAY = _mesh(*_DOER, Kind.REPLICA_SNAPSHOT, Kind.CONTROL_REPLY)
"""A gateway's DEALERs: what any node answers."""

FROM_RUNNER = _runner(Kind.READY, Kind.REPLY, Kind.NOT_STARTED, Kind.STOPPED, Kind.CHUNK, Kind.CREDIT)
FROM_NODE_TO_RUNNER = _runner(Kind.REQUEST, Kind.CANCEL, Kind.ATTACHED, Kind.STOP, Kind.CHUNK, Kind.CREDIT)

REQUEST_ROUTER = _mesh(*_ASKER, *_SYNC, Kind.PING_REQ, Kind.SNAPSHOT_REQUEST)
"""The request ROUTER: gateways of other boxes ask for work, their nodes probe and sync."""

FROM_PEER_NODE = _mesh(*_SYNC, Kind.ACK, Kind.NACK, Kind.SNAPSHOT, Kind.GOAWAY)
"""A node's DEALERs: what another node answers."""

LOBBY_QUESTIONS = _mesh(Kind.HELLO)
LOBBY_ANSWERS = _mesh(Kind.HELLO_ANSWER)

GOSSIP = _mesh(Kind.CLAIMS, Kind.RECORDS)
EVENTS = _mesh(Kind.REPLICA_UPDATE, Kind.REPLICA_MARK, Kind.EVENT)

CONTROL_QUESTIONS = _mesh(Kind.CONTROL_REQUEST)
CONTROL_ANSWERS = _mesh(Kind.CONTROL_REPLY)
