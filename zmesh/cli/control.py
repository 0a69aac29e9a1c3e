"""One question to this box's node over control.ipc."""

from __future__ import annotations

import socket
from pathlib import Path

from zmesh.config.node import CONTROL_SOCKET
from zmesh.errors import ConfigurationError, ZmeshError
from zmesh.net.blocking import BlockingDealer
from zmesh.net.context import close_context, open_context
from zmesh.net.endpoints import ipc_endpoint
from zmesh.wire.control import ControlReply, ControlRequest
from zmesh.wire.dialect import CONTROL_ANSWERS

__all__ = ["NotRunning", "ask_node"]

ANSWER_TIMEOUT_S = 3.0


class NotRunning(ZmeshError):
    """No node answers on this box; ``str(error)`` says where it was looked for and what to do."""


def ask_node(runtime_dir: str, verb: str) -> bytes:
    """The JSON that the node answers to ``verb``.

    Raises NotRunning when none answers in ANSWER_TIMEOUT_S, ConfigurationError when this user may not ask it or it does
    not know the verb.
    """
    path = Path(runtime_dir) / CONTROL_SOCKET
    _look(path)
    context = open_context()
    try:
        dealer = BlockingDealer(context, "control", CONTROL_ANSWERS)
        try:
            dealer.connect(ipc_endpoint(path))
            dealer.send(ControlRequest(serial=1, verb=verb), timeout_s=ANSWER_TIMEOUT_S)
            received = dealer.recv(ANSWER_TIMEOUT_S)
        finally:
            dealer.close()
    finally:
        close_context(context)
    if received is None:
        raise NotRunning(f"nothing answers at {path}: the node is gone or hangs; see its log")
    reply, body = received
    assert isinstance(reply, ControlReply)
    if not reply.ok:
        raise ConfigurationError(f"the node refused {verb!r}: {reply.detail}")
    return bytes(body)


def _look(path: Path) -> None:
    """Say at once what libzmq would keep trying without a word."""
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.setblocking(False)
            probe.connect(ipc_endpoint(path).removeprefix("ipc://"))
    except BlockingIOError:
        return  # it is busy
    except FileNotFoundError:
        raise NotRunning(
            f"no node runs here: there is no {path}; start one with zmesh up, or name its --config"
        ) from None
    except ConnectionRefusedError:
        raise NotRunning(f"no node runs here: the one that had {path} is gone; start it again") from None
    except OSError as error:
        raise ConfigurationError(f"cannot ask the node at {path}: {error.strerror}; run this as its user") from None
