"""A context ends, whatever was forgotten in it."""

import resource
import time

import zmq

from zmesh.config.limits import NetLimits
from zmesh.net.context import close_context, open_context


def test_it_has_room_for_every_peer():
    context = open_context(NetLimits(sockets_max=2000))
    assert context.get(zmq.MAX_SOCKETS) == 2000
    close_context(context)


def test_the_process_may_have_as_many_descriptors_as_the_system_allows():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard), hard))
    try:
        close_context(open_context())
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_forgotten_socket_with_an_unsent_message_does_not_hang_its_end():
    context = open_context()
    forgotten = context.socket(zmq.DEALER)
    forgotten.connect("tcp://127.0.0.1:1")
    forgotten.send(b"nobody will read this")
    start = time.monotonic()
    close_context(context)
    assert time.monotonic() - start < 1
    assert forgotten.closed
