"""Settings of the HTTP gateway: gunicorn's and the router's."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class GatewayConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[gateway]``: the HTTP side of a box."""

    bind: str = "0.0.0.0:8000"
    """Address and port of the HTTP listener."""

    workers: Annotated[int, Meta(ge=1, le=64)] = 4
    """gunicorn worker processes; each routes by its own replica of the table."""

    timeout_default_s: Annotated[float, Meta(gt=0, le=3_600)] = 60.0
    """Deadline of a request when neither client nor service names one."""

    finger_ttl_s: Annotated[float, Meta(ge=0, le=3_600)] = 60.0
    """How long the nodes found for a service are remembered; 0 looks them up for every request."""

    body_bytes_max: Annotated[int, Meta(ge=1, le=64 * 1024 * 1024)] = 64 * 1024 * 1024
    """Largest request body; a larger one is 413."""

    body_timeout_s: Annotated[float, Meta(gt=0)] = 30.0
    """A body that makes no progress for so long is 408."""

    spill_over_queue: Annotated[int, Meta(ge=0)] = 8
    """Requests waiting at this box's own service above which another box may be chosen; local comes first below."""

    graceful_timeout_s: Annotated[float, Meta(ge=0)] = 30.0
    """How long a stopping worker lets requests finish."""
