"""The exception tree: whose fault it was decides who has to act.

::

    ZmeshError
    |- LocalProtocolError     ours: a caller of a machine or codec broke its rules; nothing was changed or sent
    |- RemoteProtocolError    theirs: a frame that is no legal message; counted, logged once, and the loop goes on
    |- ConfigurationError     the operator's: says what is wrong and what to write instead; exit status 2
    |- NetworkError           the network's
    |  `- SendRefused         the socket did not take the message: it certainly has not been handed over
    `- ServiceError           the service's: raised by service code to choose its own answer
       `- InvalidInput        the input does not fit the service's types (HTTP 422); the service was not called
"""

from __future__ import annotations

__all__ = [
    "ConfigurationError",
    "InvalidInput",
    "LocalProtocolError",
    "NetworkError",
    "RemoteProtocolError",
    "SendRefused",
    "ServiceError",
    "ZmeshError",
]


class ZmeshError(Exception):
    """Base of every error that zmesh raises on purpose."""


class LocalProtocolError(ZmeshError):
    """This side tried something its own rules forbid; no state changed and nothing was sent."""


class RemoteProtocolError(ZmeshError):
    """The other side sent bytes that are no legal message; no state changed."""


class ConfigurationError(ZmeshError):
    """A setting, flag or environment variable is wrong; the message names it and the remedy."""


class NetworkError(ZmeshError):
    """The network did not do what was asked of it."""


class SendRefused(NetworkError):
    """The socket took nothing: no route to the peer, or its queue is full. The message was not handed over."""


class ServiceError(ZmeshError):
    """Service code refuses a request in its own words; answered as a failure of the service."""


class InvalidInput(ServiceError):
    """The input does not fit the service's types; ``str(error)`` says where and why. The service was not called."""
