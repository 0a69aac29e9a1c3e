"""What service code uses: the decorators that mark a service and its set-up, and the types it may take and give.

Decides nothing about running: the marked function stays an ordinary function, to be called and tested as such. What
its parameters mean is read when a runner starts (``codec``), so that importing a service costs next to nothing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, TypeVar, overload

from msgspec import Struct

from zmesh.config.service import SERVICE_PATTERN
from zmesh.errors import ConfigurationError

__all__ = ["Request", "Response", "name_of", "service", "set_up", "set_ups"]

F = TypeVar("F", bound=Callable[..., Any])

_NAME = "__zmesh_service__"
_set_ups: list[Callable[[], Any]] = []


class Request(Struct, frozen=True):
    """What a service may know of a request beside its input: a second parameter of this type is given it."""

    id: str
    """As in the client's ``X-Request-ID`` and in the logs."""
    content_type: str
    traceparent: str
    deadline: float
    """When the client gives up, on ``time.monotonic``; nothing interrupts the service then."""

    @property
    def remaining_s(self) -> float:
        """Seconds until the client gives up, 0 when it has."""
        return max(0.0, self.deadline - time.monotonic())


class Response(Struct, frozen=True):
    """Bytes that are sent as they are, under a content type of the service's choice."""

    body: bytes
    content_type: str = "application/octet-stream"


@overload
def service(target: F) -> F: ...


@overload
def service(target: str | None = None) -> Callable[[F], F]: ...


def service(target: Any = None) -> Any:
    """Mark a function, synchronous or asynchronous, as a service: ``@service`` or ``@service("name")``.

    Without a name the function's own is taken, its underscores turned to hyphens. The function is not changed.

    Its first parameter is the input: of type ``bytes`` it takes any body; of any other type, such as a msgspec Struct,
    it takes JSON, validated against that type. A second parameter may be of type ``Request``. What it returns is sent
    as JSON, ``bytes`` as ``application/octet-stream``, a ``Response`` under its own content type.

    Raises ConfigurationError when the name is not one a service can have.
    """
    if callable(target):
        return _mark(target, target.__name__.replace("_", "-"))
    return lambda function: _mark(function, target or function.__name__.replace("_", "-"))


def set_up(function: F) -> F:
    """Mark a function without parameters to be called once in every runner process, before it takes requests.

    Here a model is loaded. Several are called in the order of their definition; what one raises ends the runner.
    """
    _set_ups.append(function)
    return function


def name_of(function: Callable[..., Any]) -> str | None:
    """The name under which a function is marked as a service, None when it is not."""
    name: str | None = getattr(function, _NAME, None)
    return name


def set_ups() -> tuple[Callable[[], Any], ...]:
    """The set-up functions of all modules imported so far."""
    return tuple(_set_ups)


def _mark(function: F, name: str) -> F:
    if not re.fullmatch(SERVICE_PATTERN, name):
        raise ConfigurationError(
            f"{name!r} cannot be a service's name: lower case letters, digits and hyphens, at most 63, no hyphen first"
        )
    setattr(function, _NAME, name)
    return function
