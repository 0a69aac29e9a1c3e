"""The outbox keeps order and knows when it is full."""

from tests.unit.net.loops import request
from zmesh.config.limits import NetLimits
from zmesh.net.outbox import Outbox, Outgoing


def message(serial, size):
    return Outgoing(request(serial), [b"h", b"x" * (size - 1)])


def test_order_and_number():
    outbox = Outbox(NetLimits(waiting_messages_max=2))
    assert not outbox
    outbox.append(message(1, 10))
    assert not outbox.full
    outbox.append(message(2, 10))
    assert outbox.full
    assert [outbox.popleft().header.id[1], len(outbox), outbox.full] == [1, 1, False]
    assert outbox.popleft().header.id[1] == 2


def test_bytes():
    outbox = Outbox(NetLimits(waiting_bytes_max=100))
    outbox.append(message(1, 99))
    assert not outbox.full
    outbox.append(message(2, 5_000))
    assert outbox.full
    outbox.popleft()
    assert outbox.full
    outbox.popleft()
    assert not outbox.full
