"""Reading takes all frames of one message and none of the next; a large body is lent, not copied."""

import pytest
import zmq

from tests.unit.net.loops import closing_context
from zmesh.errors import RemoteProtocolError
from zmesh.net.frames import DONTWAIT, lend, read, send


@pytest.fixture
def ends():
    with closing_context() as context:
        left, right = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
        left.bind("inproc://frames")
        right.connect("inproc://frames")
        yield left, right
        left.close()
        right.close()


@pytest.mark.parametrize("frames", [[b""], [b"one"], [b"head", b""], [b"head", b"x" * 100_000]])
def test_legal_numbers_of_frames(ends, frames):
    left, right = ends
    send(left.send, frames)
    got = read(right.recv, right.recv(DONTWAIT, copy=False))
    assert list(map(bytes, got)) == frames
    assert type(got[0]) is bytes


@pytest.mark.parametrize("count", [3, 5])
def test_too_many_are_taken_to_the_last(ends, count):
    left, right = ends
    left.send_multipart([b"x"] * count)
    left.send(b"next")
    with pytest.raises(RemoteProtocolError, match=f"{count} frames"):
        read(right.recv, right.recv(DONTWAIT, copy=False))
    assert right.recv(DONTWAIT) == b"next"


def test_a_whole_frame_is_lent_a_part_of_it_is_not():
    frame = zmq.Frame(b"x" * 1000)
    assert lend(frame.buffer) is frame
    part = frame.buffer[1:]
    assert lend(part) is part
    assert lend(b"bytes") == b"bytes"
    view = memoryview(b"bytes")
    assert lend(view) is view
