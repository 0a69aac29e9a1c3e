"""Who this node is, how it proves that and believes others. Decides nothing: keys and certificates are the shell's."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from msgspec import Struct

from zmesh.wire.membership import Hello, HelloAnswer

__all__ = ["UNSIGNED", "Credentials", "Identity"]


class Identity(Struct, frozen=True):
    """One start of one node."""

    node_id: str
    instance: int
    """64 random bits, drawn at each start."""
    request_address: str
    """``IP:PORT`` of its request ROUTER."""
    gossip_address: str
    """``IP:PORT`` of its gossip XPUB."""
    version: str = ""
    http_port: int = 0
    """Port of this box's HTTP gateways; 0: it has none."""


class Credentials(NamedTuple):
    """The signature checks, handed in. None of the callables may raise; the refusing ones return the reason."""

    sign: Callable[[bytes], bytes]
    """Signature over the payload of one of this node's own records."""
    verify: Callable[[str, bytes, bytes], bool]
    """(node id, payload, signature): did that node sign it?"""
    certificate: bytes
    """This node's own, carried by HELLO and its answer."""
    prove: Callable[[bytes], bytes]
    """Proof that this node holds its certificate's key, over a newcomer's nonce."""
    verify_hello: Callable[[Hello], str]
    """Why a newcomer's certificate does not hold; empty: it does."""
    verify_answer: Callable[[HelloAnswer], str]
    """Why a seed's certificate or proof does not hold; empty: they do."""


UNSIGNED = Credentials(
    sign=lambda payload: b"",
    verify=lambda node_id, payload, signature: True,
    certificate=b"",
    prove=lambda nonce: b"",
    verify_hello=lambda hello: "",
    verify_answer=lambda answer: "",
)
"""Until keys exist: everybody is believed."""
