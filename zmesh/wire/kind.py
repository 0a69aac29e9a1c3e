"""The kinds of message and the topics of PUB sockets: the numbers of PROTOCOL sections 2 and 3.

A number once given is never given to something else.
"""

from __future__ import annotations

from enum import IntEnum

__all__ = ["Kind", "Topic"]


class Kind(IntEnum):
    """Second byte of every message."""

    REQUEST = 1
    REPLY = 2
    NOT_STARTED = 3
    BEAT = 4
    GOAWAY = 5
    GOAWAY_ACK = 6
    CANCEL = 7
    CHUNK = 8
    CREDIT = 9

    READY = 16
    ATTACHED = 17
    STOP = 18
    STOPPED = 19

    HELLO = 32
    HELLO_ANSWER = 33
    PING = 34
    ACK = 35
    PING_REQ = 36
    NACK = 37
    CLAIMS = 38
    RECORDS = 39
    DIGEST = 40
    VERSIONS = 41
    DELTA = 42
    SNAPSHOT_REQUEST = 43
    SNAPSHOT = 44

    REPLICA_UPDATE = 64
    REPLICA_MARK = 65
    REPLICA_REQUEST = 66
    REPLICA_SNAPSHOT = 67

    EVENT = 80

    CONTROL_REQUEST = 96
    CONTROL_REPLY = 97


class Topic(IntEnum):
    """Third byte: what a SUB filters on, after version and kind."""

    NONE = 0
    """Not a published message."""

    GOSSIP = 1
    REPLICA = 2

    MEMBER = 16
    SERVICE = 17
    REQUEST = 18
    SOCKET = 19
    LOG = 20
