"""Is the mesh's address on this machine yet? A VPN interface may come up after the node."""

from __future__ import annotations

import asyncio
import socket

from zmesh.errors import ConfigurationError

__all__ = ["wait_for_address"]

POLL_S = 0.2


async def wait_for_address(address: str, timeout_s: float) -> None:
    """Return as soon as ``address``, a literal IP, can be bound here. Raises ConfigurationError after ``timeout_s``."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while not _is_here(address):
        if loop.time() >= deadline:
            raise ConfigurationError(
                f"vpn.address: no interface of this machine has {address} (waited {timeout_s:g} s); "
                "bring the VPN up, or set the address that this box has in it"
            )
        await asyncio.sleep(POLL_S)


def _is_here(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:  # a kernel may have no IPv6 at all
        return False
    return True
