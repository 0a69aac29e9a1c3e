"""READY and STOPPED say what the connection is."""

from zmesh.runner.call import Service
from zmesh.runner.connection import Connection
from zmesh.wire.request import Attached, Ready, Stopped


def takes_bytes(image: bytes) -> bytes:
    return image


def test_ready_names_the_node_it_is_attached_to():
    connection = Connection(Service("ocr", takes_bytes), 5, 2, 11)
    assert connection.ready() == Ready("ocr", 5, 2, 11, 0, ())
    assert connection.attached(Attached("box", 77))
    assert not connection.attached(Attached("box", 77))
    assert connection.ready() == Ready("ocr", 5, 2, 11, 77, ())
    assert connection.attached(Attached("box", 78))
    assert connection.stopped("SIGTERM") == Stopped(5, "SIGTERM")
