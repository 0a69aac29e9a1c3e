"""How a Struct or dict becomes an answer: JSON by msgspec."""

from __future__ import annotations

from typing import Any

import falcon.asgi
import msgspec

__all__ = ["render"]

_encoder = msgspec.json.Encoder()


def render(resp: falcon.asgi.Response, document: Any, content_type: str = "application/json") -> None:
    """Answer with ``document`` as JSON; figures of this moment are not for a cache to keep."""
    resp.content_type = content_type
    resp.cache_control = ["no-store"]
    resp.data = _encoder.encode(document)
