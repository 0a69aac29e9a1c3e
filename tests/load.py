"""A steady stream of requests beside a test, each with its outcome."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from types import TracebackType
from typing import Any

from tests.boxes import Answer, Box

__all__ = ["Outcome", "Stream"]


@dataclass(frozen=True)
class Outcome:
    """What one request came to; ``status`` is 0 when the connection broke."""

    at: float
    status: int
    data: Any
    seconds: float


class Stream:
    """Calls ``service`` at ``box`` again and again, one at a time, in a thread of its own, until it is left."""

    def __init__(self, box: Box, service: str, value: Callable[[int], Any], *, pause_s: float = 0.01) -> None:
        """``value`` makes the n-th request's JSON."""
        self.outcomes: list[Outcome] = []
        self._box, self._service, self._value, self._pause_s = box, service, value, pause_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Stream:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def statuses(self) -> list[int]:
        return [outcome.status for outcome in self.outcomes]

    @property
    def phases(self) -> list[tuple[int, int]]:
        """Runs of the same status, with their lengths."""
        return [(status, len(list(run))) for status, run in groupby(self.statuses)]

    def _run(self) -> None:
        while not self._stop.wait(self._pause_s):
            self.outcomes.append(self._ask(len(self.outcomes)))

    def _ask(self, number: int) -> Outcome:
        began = time.monotonic()
        try:
            answer: Answer = self._box.call(self._service, self._value(number))
        except OSError as error:
            return Outcome(began, 0, repr(error), time.monotonic() - began)
        return Outcome(began, answer.status, answer.json, answer.seconds)
