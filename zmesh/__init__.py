"""zmesh: a broker-less mesh of GPU boxes.

A model's own environment needs only this package, pyzmq and msgspec to run a service, so importing it stays light.
"""

from __future__ import annotations

from zmesh.runner.service import service, set_up

__all__ = ["__version__", "service", "set_up"]

__version__ = "0.1.0"
