"""Addresses of configuration and gossip -> ZeroMQ endpoints. Only literal IP addresses: nothing here asks DNS."""

from __future__ import annotations

import ipaddress
import os

from zmesh.errors import ConfigurationError

__all__ = ["IPC_PATH_BYTES_MAX", "endpoint", "ipc_endpoint", "tcp_endpoint"]

IPC_PATH_BYTES_MAX = 107
"""sockaddr_un holds 108 with the closing zero."""


def tcp_endpoint(address: str, *, any_port: bool = False) -> str:
    """``tcp://IP:PORT`` of ``IP:PORT``, an IPv6 address in brackets. ``any_port``: port 0 is the kernel's choice.

    Raises ConfigurationError saying what is wrong with it.
    """
    host, colon, port = address.rpartition(":")
    if not colon:
        raise ConfigurationError(f"address {address!r} has no port; write IP:PORT, as in 10.42.0.1:7400")
    if not (port.isascii() and port.isdigit() and (0 if any_port else 1) <= int(port) <= 65_535):
        raise ConfigurationError(f"address {address!r}: port {port!r} is not a number from 1 to 65535")
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        ip = ipaddress.ip_address(host[1:-1] if bracketed else host)
    except ValueError:
        raise ConfigurationError(
            f"address {address!r}: {host!r} is no literal IP address; names are not resolved"
        ) from None
    if bracketed != (ip.version == 6):
        raise ConfigurationError(
            f"address {address!r}: brackets are for IPv6 addresses, and those need them: [fd00::1]:7400"
        )
    if isinstance(ip, ipaddress.IPv6Address) and ip.scope_id is not None:
        # A zone means something on one machine only, and libzmq refuses or misreads some of what may stand in it.
        raise ConfigurationError(f"address {address!r}: an address with a zone (%{ip.scope_id}) is not for other boxes")
    return f"tcp://{f'[{ip}]' if bracketed else ip}:{int(port) or '*'}"


def ipc_endpoint(path: str | os.PathLike[str]) -> str:
    """``ipc://PATH``; ConfigurationError when the path is longer than the kernel takes."""
    text = os.fspath(path)
    size = len(os.fsencode(text))
    if size > IPC_PATH_BYTES_MAX:
        raise ConfigurationError(
            f"{text} is {size} bytes long; the path of a Unix socket has at most {IPC_PATH_BYTES_MAX}: "
            "choose a shorter node.runtime_dir"
        )
    return f"ipc://{text}"


def endpoint(address: str) -> str:
    """The endpoint to connect to: ``address`` itself when it is one already, else that of ``IP:PORT``."""
    if address.startswith("ipc://"):
        return ipc_endpoint(address.removeprefix("ipc://"))
    return tcp_endpoint(address.removeprefix("tcp://"))
