"""Where the router's messages go: an instance, and the path to it. A second path per node is added here alone."""

from __future__ import annotations

from typing import NamedTuple

from zmesh.wire import Body, Header

__all__ = ["LOCAL", "PROBE", "VPN", "Outgoing", "Target"]

LOCAL = "local"
"""This box's own node, over gateway.ipc."""

VPN = "vpn"
"""The request ROUTER of another box."""

PROBE = "probe"
"""The same place as LOCAL or VPN, but on a connection made for this message: the usual one is what is doubted."""


class Target(NamedTuple):
    """One start of a node, and the way there."""

    node_id: str
    instance: int
    address: str
    """``IP:PORT`` of its request ROUTER; empty: gateway.ipc of this box."""
    path: str = VPN


class Outgoing(NamedTuple):
    """A message to send."""

    to: Target
    header: Header
    body: Body = b""
