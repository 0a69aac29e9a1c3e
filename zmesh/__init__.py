"""zmesh: a broker-less mesh of GPU boxes.

A model's own environment needs only this package, pyzmq and msgspec to run a service. What a service imports from here
is looked up when it is used, so that the daemons, which run no services, do not load it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zmesh.runner.service import Request, Response, service, set_up

__all__ = ["Request", "Response", "__version__", "service", "set_up"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in ("Request", "Response", "service", "set_up"):
        from zmesh.runner import service as module

        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
