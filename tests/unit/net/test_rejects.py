"""Illegal messages: every one counts, a sender is logged once, and the log does not grow with the senders."""

import logging

import zmq

from zmesh.net.rejects import Rejects


class FrameFrom:
    """Has the one thing of a Frame that is asked for: who sent it."""

    def __init__(self, address):
        self.address = address

    def get(self, _name):
        if self.address is None:
            raise zmq.ZMQError(zmq.EINVAL)
        return self.address


def test_once_per_sender_and_bounded(caplog):
    rejects = Rejects("router", senders_logged_max=2)
    with caplog.at_level(logging.WARNING):
        for address in ["10.0.0.1", "10.0.0.1", None, None, "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.1"]:
            rejects.add(FrameFrom(address), "why")
    assert rejects.count == 8
    assert [record.getMessage() for record in caplog.records] == [
        "router: illegal message from 10.0.0.1, further ones from there are counted: why",
        "router: illegal message from a local process, further ones from there are counted: why",
        "router: further senders of illegal messages are counted, not logged",
    ]
