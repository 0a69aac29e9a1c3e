"""A message as zmq frames: one, or two when its body is large. Reads and sends them; what is in them is wire's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import zmq

from zmesh.errors import RemoteProtocolError
from zmesh.wire import Body

__all__ = ["DONTWAIT", "EVENTS", "POLLIN", "POLLOUT", "SNDMORE_DONTWAIT", "lend", "read", "send"]

# Plain integers: an operation on an enum of flags costs as much as half a send.
DONTWAIT = int(zmq.DONTWAIT)
SNDMORE_DONTWAIT = int(zmq.SNDMORE | zmq.DONTWAIT)
POLLIN = int(zmq.POLLIN)
POLLOUT = int(zmq.POLLOUT)
EVENTS = int(zmq.EVENTS)


def read(receive: Callable[..., Any], first: zmq.Frame) -> tuple[Body, ...]:
    """All frames of the message whose first is ``first``; a body of its own is a view of its frame.

    Raises RemoteProtocolError, and takes all frames, when there are too many: the next message starts at its beginning.
    """
    if not first.more:
        return (first.bytes,)
    body = receive(DONTWAIT, False)
    if not body.more:
        return (first.bytes, body.buffer)
    count = 2
    while body.more:
        body = receive(DONTWAIT, False)
        count += 1
    raise RemoteProtocolError(f"{count} frames are no message")


def send(send_frame: Callable[..., object], frames: Sequence[Body]) -> None:
    """Send a message without waiting. zmq.Again: nothing of it was sent; libzmq undoes a message it took half of."""
    if len(frames) == 1:
        send_frame(frames[0], DONTWAIT)
    else:
        send_frame(frames[0], SNDMORE_DONTWAIT)
        send_frame(lend(frames[1]), DONTWAIT, False)


def lend(body: Body) -> Body | zmq.Frame:
    """What to send for a large body: the very frame it arrived in, if it is one, so that forwarding copies nothing."""
    if isinstance(body, memoryview):
        frame = body.obj
        if isinstance(frame, zmq.Frame) and body.nbytes == len(frame):
            return frame
    return body
