"""Every ZeroMQ option that is set, for each role of socket, and why. Options count only when set before connect."""

from __future__ import annotations

from collections.abc import Mapping

import zmq

from zmesh.config.limits import NetLimits
from zmesh.wire import LIMITS

__all__ = ["apply", "dealer", "router", "sub", "xpub"]

Options = Mapping[zmq.SocketOption, int]


def apply(socket: zmq.Socket[bytes], options: Options) -> None:
    """Set all of ``options``; before bind or connect."""
    for option, value in options.items():
        socket.set(option, value)


def _every_socket(limits: NetLimits, message_bytes_max: int | None) -> dict[zmq.SocketOption, int]:
    return {
        # -1, the default, keeps term() waiting for ever on one unsent message.
        zmq.LINGER: limits.linger_ms,
        # Bounds one frame; without it a peer makes libzmq allocate what it announces.
        zmq.MAXMSGSIZE: LIMITS.body_bytes_max if message_bytes_max is None else message_bytes_max,
        zmq.HANDSHAKE_IVL: limits.handshake_ms,
        zmq.SNDHWM: limits.high_water_messages,
        zmq.RCVHWM: limits.high_water_messages,
        # A host that vanished (power, VPN down) sends no FIN: without these its connection stays for hours.
        zmq.TCP_KEEPALIVE: 1,
        zmq.TCP_KEEPALIVE_IDLE: limits.keepalive_idle_s,
        zmq.TCP_KEEPALIVE_INTVL: limits.keepalive_interval_s,
        zmq.TCP_KEEPALIVE_CNT: limits.keepalive_count,
        zmq.TCP_MAXRT: limits.unacknowledged_ms_max,
    }


def _connecting(limits: NetLimits) -> dict[zmq.SocketOption, int]:
    return {
        zmq.CONNECT_TIMEOUT: limits.connect_ms,
        # Without a maximum the pause never grows: refused peers would knock ten times a second for ever.
        zmq.RECONNECT_IVL: limits.reconnect_min_ms,
        zmq.RECONNECT_IVL_MAX: limits.reconnect_max_ms,
    }


def router(limits: NetLimits, message_bytes_max: int | None = None) -> Options:
    """A bound ROUTER."""
    return {
        **_every_socket(limits, message_bytes_max),
        # Without it a message to a peer that is gone or full is dropped without a word.
        zmq.ROUTER_MANDATORY: 1,
        # With it a newcomer that claims a peer's routing id gets that peer's replies.
        zmq.ROUTER_HANDOVER: 0,
    }


def dealer(limits: NetLimits, heartbeat_ms: int = 0, message_bytes_max: int | None = None) -> Options:
    """A DEALER of one peer. ``heartbeat_ms`` 0: none."""
    options = {
        **_every_socket(limits, message_bytes_max),
        **_connecting(limits),
        # Without it messages for a peer that is not there are accepted, and lost with the attempt.
        zmq.IMMEDIATE: 1,
    }
    if heartbeat_ms:
        silence_ms = heartbeat_ms * limits.heartbeat_misses
        options |= {
            zmq.HEARTBEAT_IVL: heartbeat_ms,
            zmq.HEARTBEAT_TIMEOUT: silence_ms,
            # Told to the other side, which cuts the connection by it too: a frozen asker is noticed.
            zmq.HEARTBEAT_TTL: silence_ms,
        }
    return options


def xpub(limits: NetLimits) -> Options:
    """A bound XPUB."""
    return {
        # All that is ever said to it is whom it is to serve.
        **_every_socket(limits, limits.subscription_bytes_max),
        zmq.SNDHWM: limits.publish_high_water_messages,
        # A subscriber whose queue has run full is told of once, by a send that fails, and counted.
        zmq.XPUB_NODROP: 1,
    }


def sub(limits: NetLimits, message_bytes_max: int | None = None) -> Options:
    """A SUB of many publishers."""
    return {
        **_every_socket(limits, message_bytes_max),
        **_connecting(limits),
        zmq.RCVHWM: limits.publish_high_water_messages,
    }
