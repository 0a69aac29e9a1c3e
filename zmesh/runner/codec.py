"""Between a message's body and a service function's values: what its signature says it takes and gives.

Decides what is valid input and what an answer looks like in bytes. Does not call the function.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Any

import msgspec

from zmesh.errors import ConfigurationError, InvalidInput
from zmesh.runner.service import Request, Response
from zmesh.wire import Body
from zmesh.wire.field import SHORT_MAX

__all__ = ["BYTES", "JSON", "Codec", "UnsupportedInput"]

JSON = "application/json"
BYTES = "application/octet-stream"

# What msgspec raises on hostile JSON beside its own errors.
_MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class UnsupportedInput(InvalidInput):
    """The body is of a content type that the service does not take. It was not called."""


class Codec:
    """Reads the input and writes the output of one service function, by its annotations.

    Raises ConfigurationError when the function cannot be a service: no parameter or too many, a generator, or types
    that cannot be read from JSON.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise ConfigurationError(f"{function.__qualname__} is a generator; a service returns its whole answer")
        input_type, self.takes_request = _parameters(function)
        self._decoder: msgspec.json.Decoder[Any] | None = None
        if input_type is not bytes:
            try:
                self._decoder = msgspec.json.Decoder(input_type)
            except TypeError as error:
                raise ConfigurationError(f"{function.__qualname__} cannot take its input from JSON: {error}") from None
        self._encoder = msgspec.json.Encoder()

    @property
    def content_types(self) -> tuple[str, ...]:
        """What the service takes; empty: anything."""
        return () if self._decoder is None else (JSON,)

    def read(self, body: Body, content_type: str) -> Any:
        """The function's first argument.

        Raises UnsupportedInput, or InvalidInput that says where the input does not fit (``$.field``) and why.
        """
        if self._decoder is None:
            return bytes(body)
        if not _is_json(content_type):
            raise UnsupportedInput(f"this service takes {JSON}, not {content_type}")
        try:
            return self._decoder.decode(body)
        except msgspec.ValidationError as error:
            raise InvalidInput(str(error)) from None
        except _MALFORMED as error:
            raise InvalidInput(f"malformed JSON: {error}") from None

    def write(self, value: Any) -> tuple[Body, str]:
        """Body and content type of what the function returned, as bytes and str that a REPLY can carry.

        Raises TypeError or ValueError when it cannot be written as JSON, or is a Response of other things: a Struct
        checks nothing when it is made.
        """
        if isinstance(value, Response):
            return _plain_body(value.body), _plain_content_type(value.content_type)
        if isinstance(value, bytes | bytearray | memoryview):
            return bytes(value), BYTES
        return self._encoder.encode(value), JSON


def _parameters(function: Callable[..., Any]) -> tuple[Any, bool]:
    """Type of the input, and whether the function takes the Request as well."""
    parameters = list(inspect.signature(function).parameters.values())
    if not 1 <= len(parameters) <= 2 or any(parameter.kind not in _POSITIONAL for parameter in parameters):
        raise ConfigurationError(
            f"{function.__qualname__} must take its input and, if it wants it, a zmesh.Request; nothing else"
        )
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as error:
        raise ConfigurationError(f"{function.__qualname__} has an annotation that cannot be read: {error}") from None
    if len(parameters) == 2 and hints.get(parameters[1].name) is not Request:
        raise ConfigurationError(f"{function.__qualname__}: its second parameter must be annotated zmesh.Request")
    return hints.get(parameters[0].name, Any), len(parameters) == 2


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _plain_body(body: object) -> bytes:
    if not isinstance(body, bytes | bytearray | memoryview):
        raise TypeError(f"the Response's body is a {type(body).__name__}, not bytes")
    return bytes(body)


def _plain_content_type(content_type: object) -> str:
    if not isinstance(content_type, str):
        raise TypeError(f"the Response's content type is a {type(content_type).__name__}, not a str")
    if len(content_type) > SHORT_MAX:
        raise ValueError(f"the Response's content type is longer than {SHORT_MAX} characters")
    if not (content_type.isascii() and content_type.isprintable()):
        raise ValueError(f"the Response's content type {content_type!a} cannot stand in a header")
    return str.__str__(content_type)  # of a subclass its own characters, whatever it makes of itself


def _is_json(content_type: str) -> bool:
    """Also a structured type such as application/ld+json; one that is not given is taken for JSON."""
    name = content_type.partition(";")[0].strip().lower()
    return name in ("", JSON) or name.endswith("+json")
