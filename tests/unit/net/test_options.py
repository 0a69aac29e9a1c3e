"""The options reach libzmq, before anything is connected."""

import zmq

from tests.unit.net.loops import closing_context
from zmesh.config.limits import NetLimits
from zmesh.net import options
from zmesh.wire import LIMITS

LIMITS_OF_NET = NetLimits()


def applied(kind, role):
    with closing_context() as context:
        socket = context.socket(kind)
        options.apply(socket, role)
        # What libzmq lets nobody read back is left out.
        hidden = {zmq.ROUTER_MANDATORY, zmq.ROUTER_HANDOVER, zmq.XPUB_NODROP}
        values = {option: socket.get(option) for option in role.keys() - hidden}
        socket.close()
    assert values == {option: value for option, value in role.items() if option not in hidden}
    return role


def test_no_socket_keeps_a_context_or_takes_what_a_peer_announces():
    for kind, role, message_bytes_max in [
        (zmq.ROUTER, options.router(LIMITS_OF_NET), LIMITS.body_bytes_max),
        (zmq.DEALER, options.dealer(LIMITS_OF_NET), LIMITS.body_bytes_max),
        (zmq.XPUB, options.xpub(LIMITS_OF_NET), LIMITS_OF_NET.subscription_bytes_max),
        (zmq.SUB, options.sub(LIMITS_OF_NET), LIMITS.body_bytes_max),
    ]:
        values = applied(kind, role)
        assert 0 <= values[zmq.LINGER] <= 1000
        assert values[zmq.MAXMSGSIZE] == message_bytes_max
        assert 0 < values[zmq.SNDHWM] <= 4096
        assert 0 < values[zmq.RCVHWM] <= 4096
        assert values[zmq.TCP_KEEPALIVE] == 1
        assert values[zmq.HANDSHAKE_IVL] == 3000


def test_a_stranger_may_say_little():
    assert options.router(LIMITS_OF_NET, 4096)[zmq.MAXMSGSIZE] == 4096


def test_a_router_loses_nothing_silently_and_hands_no_identity_over():
    role = options.router(LIMITS_OF_NET)
    assert role[zmq.ROUTER_MANDATORY] == 1
    assert role[zmq.ROUTER_HANDOVER] == 0


def test_a_dealer_queues_for_nobody_and_backs_off():
    role = applied(zmq.DEALER, options.dealer(LIMITS_OF_NET))
    assert role[zmq.IMMEDIATE] == 1
    assert role[zmq.RECONNECT_IVL] < role[zmq.RECONNECT_IVL_MAX] <= 1000
    assert zmq.HEARTBEAT_IVL not in role


def test_heartbeats_of_a_gateway():
    role = applied(zmq.DEALER, options.dealer(LIMITS_OF_NET, heartbeat_ms=200))
    assert role[zmq.HEARTBEAT_IVL] == 200
    assert role[zmq.HEARTBEAT_TIMEOUT] == role[zmq.HEARTBEAT_TTL] == 600
