"""What settings name on the disk of the box they are for: tells what is not on this one.

No complaint: a configuration may be checked on another machine than the one that it is for.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from zmesh.config.service import ServiceConfig
from zmesh.config.settings import Settings

__all__ = ["absent"]


def absent(settings: Settings) -> Iterator[str]:
    """A line for each interpreter and directory of a service that is not here, as this user sees it."""
    for service in settings.service:
        yield from _of_service(service)


def _of_service(service: ServiceConfig) -> Iterator[str]:
    python, directory = service.python, service.working_dir
    if python and not os.path.exists(python) and shutil.which(python) is None:
        yield f"service {service.name!r}: python: there is no {python} on this machine"
    elif python and shutil.which(python) is None:
        yield f"service {service.name!r}: python: {python} is nothing that this user may run"
    if directory and not Path(directory).is_dir():
        yield f"service {service.name!r}: working_dir: there is no directory {directory} on this machine"
