"""Bounded msgpack documents that stand inside a message: a record, an event.

Decides how large one may be and what is told when it is none; knows no fields.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

from zmesh.errors import LocalProtocolError, RemoteProtocolError
from zmesh.wire.frame import DECODE_ERRORS, ENCODE_ERRORS, Body, refusal

__all__ = ["Document"]

T = TypeVar("T")


class Document(Generic[T]):
    """Documents of one type, called ``what`` in complaints, of at most ``bytes_max`` bytes."""

    def __init__(self, what: str, expected: Any, bytes_max: int) -> None:
        self._what = what
        self._bytes_max = bytes_max
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(expected).decode

    def encode(self, value: T) -> bytes:
        """Raises LocalProtocolError when it cannot be written or is too large."""
        try:
            payload = self._encode(value)
        except ENCODE_ERRORS as error:
            raise LocalProtocolError(f"{type(value).__name__} cannot be written: {error}") from None
        if len(payload) > self._bytes_max:
            raise LocalProtocolError(f"{type(value).__name__} of {len(payload)} bytes is over {self._bytes_max}")
        return payload

    def decode(self, payload: Body) -> T:
        """Raises RemoteProtocolError when it is too large, none, or of a kind that this version does not know."""
        if len(payload) > self._bytes_max:
            raise RemoteProtocolError(f"{self._what} of {len(payload)} bytes is over {self._bytes_max}")
        try:
            value: T = self._decode(payload)
        except DECODE_ERRORS as error:
            raise refusal(self._what, error) from None
        return value
