"""Addresses of configuration and gossip -> ZeroMQ endpoints. Only literal IP addresses: nothing here asks DNS."""

from __future__ import annotations

import os

from zmesh.config.address import join_address, split_address
from zmesh.config.node import IPC_PATH_BYTES_MAX
from zmesh.errors import ConfigurationError

__all__ = ["endpoint", "ipc_endpoint", "tcp_endpoint"]


def tcp_endpoint(address: str) -> str:
    """``tcp://IP:PORT`` of ``IP:PORT``, an IPv6 address in brackets.

    Raises ConfigurationError saying what is wrong with it.
    """
    try:
        ip, port = split_address(address)
    except ValueError as error:
        raise ConfigurationError(f"not an address: {error}") from None
    return f"tcp://{join_address(str(ip), port)}"


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
