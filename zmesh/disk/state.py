"""What a node must still know after a restart: the highest incarnation it ever used.

Losing it is survivable, for the mesh tells a newcomer the highest incarnation it knows of it; so a file that is
missing, torn or unreadable, and a disk that is full, are said and lived with.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

from zmesh.disk.atomic import write_atomically

__all__ = ["IncarnationStore"]

INCARNATION_MAX = 2**64 - 1
# The newline shows that the number is whole: "12" may be what is left of "123".
_WHOLE = re.compile(rb"([0-9]{1,20})\n")

log = logging.getLogger(__name__)


class IncarnationStore:
    """The file ``incarnation`` in a node's state directory."""

    def __init__(self, state_dir: str | Path) -> None:
        self._path = Path(state_dir) / "incarnation"

    def load(self) -> int:
        """The incarnation stored last; 0, with a warning unless this is the first start, when there is none to read."""
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return 0
        except OSError as error:
            self._start_over(error.strerror or str(error))
            return 0
        found = _WHOLE.fullmatch(content)
        if found is None or int(found[1]) > INCARNATION_MAX:
            self._start_over(f"it is torn or no number: {content[:40]!r}")
            return 0
        return int(found[1])

    def store(self, incarnation: int) -> bool:
        """Keep ``incarnation`` durably before it is used; False, with an error logged, if the disk does not take it."""
        try:
            write_atomically(self._path, b"%d\n" % incarnation)
        except OSError as error:
            log.error(
                "%s: cannot store incarnation %d: %s; after a restart the mesh will have to tell it",
                self._path,
                incarnation,
                error.strerror or error,
            )
            return False
        return True

    def _start_over(self, why: str) -> None:
        log.warning("%s: %s; starting from 0, the mesh will tell the highest known", self._path, why)
