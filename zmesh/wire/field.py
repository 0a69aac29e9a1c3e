"""Types of header fields and their bounds: PROTOCOL section 1.3. Knows no message.

A receiver refuses a message with a field out of its bounds, so a sender keeps them: text that comes from elsewhere (an
exception, an HTTP header) goes through ``clip`` first.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from zmesh.config.node import NODE_ID_PATTERN
from zmesh.config.service import SERVICE_PATTERN

__all__ = [
    "NAME_MAX",
    "SHORT_MAX",
    "TEXT_MAX",
    "U32",
    "U32_MAX",
    "U64",
    "Name",
    "NodeId",
    "ServiceName",
    "Short",
    "Text",
    "clip",
]

NAME_MAX = 63
SHORT_MAX = 255
TEXT_MAX = 4096

U32_MAX = 2**32 - 1
U32 = Annotated[int, Meta(ge=0, le=U32_MAX)]
U64 = Annotated[int, Meta(ge=0)]
"""msgpack itself has no larger integer."""

Name = Annotated[str, Meta(max_length=NAME_MAX)]
"""An id or a service's name as somebody refers to it; may be empty. Lengths are counted in characters."""

NodeId = Annotated[str, Meta(pattern=NODE_ID_PATTERN)]
"""An id that may become a member's, so its characters are checked: it will stand in logs, URLs and file names."""

ServiceName = Annotated[str, Meta(pattern=SERVICE_PATTERN)]
Short = Annotated[str, Meta(max_length=SHORT_MAX)]
Text = Annotated[str, Meta(max_length=TEXT_MAX)]


def clip(text: str, length_max: int = TEXT_MAX) -> str:
    """``text`` as a field of ``length_max`` characters can carry it: cut, and lone surrogates as question marks."""
    return text[:length_max].encode("utf-8", "replace").decode("utf-8")
