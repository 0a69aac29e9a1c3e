"""Which ids this node has seen, and what it answered: the memory behind "at most once".

Decides whether an id is known, and whether an unknown one may have been known before. Knows no queue and no runner.

Memory is bounded, so ids are forgotten, the longest ended first. An asker numbers its requests upwards; for each asker
of which an id was forgotten the highest such serial is kept, its horizon. An unknown id at or below the horizon may be
one of those forgotten, and is never run; an unknown id above it was certainly never seen. A late first copy may so be
refused although it never ran: the price is a refusal, never a second execution. Horizons are bounded too: one goes when
no request that old can still be under way, or, when there are too many, early; then for as long a time every asker
without a horizon is taken for the one that was dropped.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict, deque
from typing import NamedTuple

from zmesh.config.limits import DispatchLimits
from zmesh.dispatch.execution import Execution
from zmesh.wire import Body
from zmesh.wire.request import Id, NotStarted, Reply

__all__ = ["Executions"]

ANSWER_BYTES = 512
"""What a kept answer costs beside its body and detail."""

FORGOTTEN_SHARE = 64
"""When there is no room for an id, this fraction of the memory is let go at once: cheaper than one by one."""


class Horizon(NamedTuple):
    """How far an asker's ids have been forgotten."""

    serial: int
    forgotten_at: float


class Executions:
    """Ids seen, unfinished and ended, at most ``executions_max``; answers kept within their own bounds."""

    def __init__(self, limits: DispatchLimits) -> None:
        self._limits = limits
        self._by_id: dict[Id, Execution] = {}
        self._ended: deque[Execution] = deque()
        # The newest of _ended, those whose answer is still kept, each with what that costs in bytes.
        self._answered: deque[tuple[Execution, int]] = deque()
        self._answer_bytes = 0
        self._horizons: OrderedDict[int, Horizon] = OrderedDict()
        self._blind_until = float("-inf")
        self.find = self._by_id.get
        """``find(id)``: the execution of this id, None when it is not known (now)."""

    def __len__(self) -> int:
        return len(self._by_id)

    @property
    def unfinished(self) -> int:
        """Executions that are queued or running."""
        return len(self._by_id) - len(self._ended)

    def all_unfinished(self) -> list[Execution]:
        """Executions that are queued or running, in order of arrival."""
        return [execution for execution in self._by_id.values() if execution.ended_at is None]

    @property
    def answer_bytes(self) -> int:
        """Bytes of answers kept for copies that may still come."""
        return self._answer_bytes

    def may_be_forgotten(self, request_id: Id, now: float) -> bool:
        """Whether an id that is not known now may have been known before."""
        horizon = self._horizons.get(request_id[0])
        if horizon is None:
            return now < self._blind_until
        return request_id[1] <= horizon.serial

    def make_room(self, now: float) -> bool:
        """Room for one more id, by forgetting some that ended longest ago; False when all are unfinished."""
        if len(self._by_id) < self._limits.executions_max:
            return True
        if not self._ended:
            return False
        self._forget(min(len(self._ended), 1 + self._limits.executions_max // FORGOTTEN_SHARE), now)
        return True

    def add(self, execution: Execution) -> None:
        """Remember an id; the caller has asked ``make_room``."""
        self._by_id[execution.id] = execution

    def shun(self, request_id: Id, now: float) -> None:
        """There is no room to remember this id, and it must never run here: it counts as forgotten at once."""
        self._raise_horizon(request_id, now)

    def end(self, execution: Execution, answer: Reply | NotStarted, body: Body, now: float) -> None:
        """The one end of an execution; its input is let go, its answer kept for a while."""
        execution.ended_at = now
        execution.request = None
        execution.body = b""
        execution.answer = answer
        execution.answer_body = body
        self._ended.append(execution)
        cost = ANSWER_BYTES + len(body) + (len(answer.detail) if type(answer) is Reply else 0)
        self._answered.append((execution, cost))
        self._answer_bytes += cost
        while self._answer_bytes > self._limits.result_bytes_max:
            self._drop_oldest_answer()

    def expire(self, now: float) -> None:
        """Let go of answers, ids and horizons that have been kept long enough."""
        ended_before = now - self._limits.result_memory_s
        while self._answered and _ended_at(self._answered[0][0]) <= ended_before:
            self._drop_oldest_answer()
        ended_before = now - self._limits.execution_memory_s
        old = itertools.takewhile(lambda execution: _ended_at(execution) <= ended_before, self._ended)
        self._forget(sum(1 for _execution in old), now)
        forgotten_before = now - self._limits.asker_horizon_s
        while self._horizons:
            asker, horizon = next(iter(self._horizons.items()))
            if horizon.forgotten_at > forgotten_before:
                break
            del self._horizons[asker]

    @property
    def at_rest(self) -> bool:
        """Nothing is kept that time could make old."""
        return not self._by_id and not self._horizons

    def _drop_oldest_answer(self) -> None:
        execution, cost = self._answered.popleft()
        self._answer_bytes -= cost
        execution.answer = None
        execution.answer_body = b""

    def _forget(self, count: int, now: float) -> None:
        """Forget the ``count`` longest ended."""
        highest: dict[int, int] = {}
        for _ in range(count):
            request_id = self._ended.popleft().id
            del self._by_id[request_id]
            asker, serial = request_id
            if serial > highest.get(asker, -1):
                highest[asker] = serial
        while len(self._answered) > len(self._ended):
            self._drop_oldest_answer()
        for asker_and_serial in highest.items():
            self._raise_horizon(asker_and_serial, now)

    def _raise_horizon(self, request_id: Id, now: float) -> None:
        asker, serial = request_id
        known = self._horizons.get(asker)
        if known is not None:
            self._horizons.move_to_end(asker)
            serial = max(serial, known.serial)
        self._horizons[asker] = Horizon(serial, now)
        if len(self._horizons) > self._limits.asker_horizons_max:
            self._horizons.popitem(last=False)
            self._blind_until = now + self._limits.asker_horizon_s


def _ended_at(execution: Execution) -> float:
    assert execution.ended_at is not None
    return execution.ended_at
