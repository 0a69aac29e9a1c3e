"""Directories a node works in: made when missing, held by one process at a time.

Two nodes on one runtime directory would take each other's sockets without a word, since binding an ipc address
removes the file that is there; a lock says so instead.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from zmesh.errors import ConfigurationError

__all__ = ["DirectoryLock", "prepare_directory"]


def prepare_directory(path: str | Path, setting: str, mode: int = 0o750) -> Path:
    """Make the directory that ``setting`` names, its parents too, unless it is there; return it.

    Raises ConfigurationError when it cannot be made, is no directory, or is not writable by this user.
    """
    path = Path(path)
    remedy = f"make it writable for this user, or set {setting} to a directory that is"
    try:
        path.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{setting}: cannot make {path}: {error.strerror}: {remedy}") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise ConfigurationError(f"{setting}: {path} is not writable: {remedy}")
    return path


class DirectoryLock:
    """The right to work in a directory, until ``release`` or the end of the process, however that comes."""

    def __init__(self, path: str | Path) -> None:
        """Take it; raises ConfigurationError when another process, which is named, has it, or there can be none."""
        file = Path(path) / "lock"
        try:
            self._file = open(file, "a+", encoding="ascii")  # noqa: SIM115  held until released
        except OSError as error:
            raise ConfigurationError(f"{file}: {error.strerror}: it must be a file of this user's") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.seek(0)
            holder = self._file.read(20).strip() or "unknown"
            self._file.close()
            raise ConfigurationError(
                f"{path} is in use by another node, process {holder}: stop it, or give this one a directory of its own"
            ) from None
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def release(self) -> None:
        """Give it back. The file stays: removing it would let two processes lock two files of one name."""
        self._file.close()
