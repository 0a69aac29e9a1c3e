"""Binding, so that what goes wrong is said in the words of who configured it."""

from __future__ import annotations

import errno
import os
import shutil
import socket as plain
import stat

import zmq

from zmesh.errors import ConfigurationError
from zmesh.net.ports import who_listens

__all__ = ["bind"]


def bind(
    socket: zmq.Socket[bytes], endpoint: str, *, mode: int = 0o600, group: str | None = None, setting: str = ""
) -> str:
    """Bind ``socket`` and return the endpoint it has, with the port where ``*`` was given.

    An ipc socket file that nobody listens on any more is removed first; afterwards it gets ``mode`` and ``group``.
    Raises ConfigurationError naming the address, ``setting``, and who holds it; the socket does not listen there then.
    """
    path = endpoint.removeprefix("ipc://") if endpoint.startswith("ipc://") else ""
    if path:
        _remove_stale(path, setting)
    elif endpoint.startswith("tcp://["):
        socket.set(zmq.IPV6, 1)
    try:
        socket.bind(endpoint)
    except zmq.ZMQError as error:
        raise ConfigurationError(_explain(endpoint, setting, error)) from None
    if path:
        try:
            _grant(path, mode, group, setting)
        except ConfigurationError:
            socket.unbind(endpoint)
            raise
    bound: bytes = socket.getsockopt(zmq.LAST_ENDPOINT)  # type: ignore[assignment]
    return bound.rstrip(b"\0").decode()


def _grant(path: str, mode: int, group: str | None, setting: str) -> None:
    # libzmq makes the file 0755, which lets only its owner connect: until here it was closed to others.
    try:
        if group is not None:
            shutil.chown(path, group=group)
        os.chmod(path, mode)
    except LookupError:
        raise ConfigurationError(f"{_of(setting)}there is no group {group!r} on this machine for {path}") from None
    except OSError as error:
        raise ConfigurationError(f"{_of(setting)}cannot give {path} to group {group!r}: {error.strerror}") from None


def _remove_stale(path: str, setting: str) -> None:
    try:
        is_socket = stat.S_ISSOCK(os.lstat(path).st_mode)
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigurationError(f"{_of(setting)}cannot use {path}: {error.strerror}") from None
    if not is_socket:
        raise ConfigurationError(f"{_of(setting)}{path} exists and is no socket; it is not touched")
    with plain.socket(plain.AF_UNIX, plain.SOCK_STREAM) as probe:
        probe.setblocking(False)
        reached = probe.connect_ex(path)
    if reached in (0, errno.EAGAIN):
        raise ConfigurationError(f"{_of(setting)}another process listens on {path} already")
    if reached == errno.ECONNREFUSED:
        os.unlink(path)


def _explain(endpoint: str, setting: str, error: zmq.ZMQError) -> str:
    address = endpoint.partition("://")[2]
    host, _, port = address.rpartition(":")
    if error.errno == zmq.EADDRINUSE and port.isdigit():
        holder = who_listens(host.strip("[]"), int(port)) or "another process"
        return f"{_of(setting)}{address} is taken by {holder}; stop it or choose another port"
    if error.errno in (zmq.EADDRNOTAVAIL, errno.ENODEV):
        return f"{_of(setting)}{host} is no address of this machine (ip address shows those that are)"
    return f"{_of(setting)}cannot listen on {address}: {error.strerror}"


def _of(setting: str) -> str:
    return f"{setting}: " if setting else ""
