"""What the exit status of ``zmesh`` means; scripts may rely on it."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["ExitStatus"]


class ExitStatus(IntEnum):
    """Exit statuses of every verb."""

    OK = 0
    FAILED = 1
    """The request failed, or the mesh is not well."""
    USAGE = 2
    """A flag, setting, address or port is wrong; one line says which and what to do."""
    NOT_RUNNING = 3
    """No node answers on this box."""
