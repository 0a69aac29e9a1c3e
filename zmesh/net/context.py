"""The ZeroMQ context of a process: made once, after every fork, closed last."""

from __future__ import annotations

import resource
from typing import TypeAlias

import zmq

from zmesh.config.limits import NetLimits

__all__ = ["Context", "close_context", "open_context"]

Context: TypeAlias = zmq.Context[zmq.Socket[bytes]]


def open_context(limits: NetLimits | None = None) -> Context:
    """A new context with one I/O thread; a process that forks (gunicorn) calls this in the child.

    One I/O thread moves about a gigabyte a second, more than one Python process can use. The process's soft limit on
    descriptors is raised to its hard one: every peer takes one, and libzmq aborts where it can accept none.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    context: Context = zmq.Context(io_threads=1)
    context.set(zmq.MAX_SOCKETS, (limits or NetLimits()).sockets_max)
    return context


def close_context(context: Context) -> None:
    """End the context; every socket of it is to be closed by its owner before.

    One that was forgotten is closed here without lingering, so that this never hangs. Waits at most the time the
    closed sockets may linger (``linger_ms``), and only while a peer does not take what they still hold.
    """
    context.destroy(linger=0)
