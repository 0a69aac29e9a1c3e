"""Bytes <-> typed messages: the only readers and writers of frames (PROTOCOL is the normative page)."""

from __future__ import annotations

from zmesh.wire.frame import LIMITS, RUNNER_VERSION, VERSION, Body, Dialect, Header, decode, encode, subscription
from zmesh.wire.kind import Kind, Topic

__all__ = [
    "LIMITS",
    "RUNNER_VERSION",
    "VERSION",
    "Body",
    "Dialect",
    "Header",
    "Kind",
    "Topic",
    "decode",
    "encode",
    "subscription",
]
