"""Waiting for what another process or thread will do: the one place in the tests that sleeps.

A test names the condition and a deadline; it goes on the moment the condition holds and fails with the condition's
name when the deadline passes. What a test could step with its own clock is not waited for.
"""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

INTERVAL_S = 0.02


def wait_until(
    predicate: Callable[[], T], timeout_s: float, *, interval_s: float = INTERVAL_S, what: str | None = None
) -> T:
    """Call ``predicate`` every ``interval_s`` seconds until its result is true, and return that result.

    Raises AssertionError, naming ``what`` (default: the predicate) and the last result, once ``timeout_s`` has passed.
    What the predicate raises goes through: to wait for a server that still refuses, let the predicate return False.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        result = predicate()
        if result:
            return result
        if time.monotonic() >= deadline:
            raise AssertionError(_late(predicate, timeout_s, what, result))
        time.sleep(interval_s)


async def wait_until_async(
    predicate: Callable[[], T | Awaitable[T]],
    timeout_s: float,
    *,
    interval_s: float = INTERVAL_S,
    what: str | None = None,
) -> T:
    """Like ``wait_until`` inside an event loop; ``predicate`` may be a coroutine function.

    The deadline is looked at between calls: a predicate that never returns is the predicate's own to bound.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        pending = predicate()
        result: T = await pending if inspect.isawaitable(pending) else pending
        if result:
            return result
        if time.monotonic() >= deadline:
            raise AssertionError(_late(predicate, timeout_s, what, result))
        await asyncio.sleep(interval_s)


def _late(predicate: Callable[[], object], timeout_s: float, what: str | None, result: object) -> str:
    name = what or getattr(predicate, "__qualname__", repr(predicate))
    return f"{name} did not hold within {timeout_s:g} s; last result: {result!r}"
