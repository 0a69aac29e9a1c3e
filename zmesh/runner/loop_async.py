"""Runs an asynchronous function: one DEALER with all slots, a task for each request in hand."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import secrets
import time
from collections.abc import Awaitable, Callable

from zmesh.config.limits import RunnerLimits
from zmesh.errors import LocalProtocolError
from zmesh.net.context import Context, close_context, open_context
from zmesh.net.dealer import DealerSocket
from zmesh.runner.call import Answer, Service, unsendable
from zmesh.runner.connection import Connection
from zmesh.runner.stop import EXIT_FAILED, Stop
from zmesh.wire import RUNNER_VERSION, Body, Header
from zmesh.wire.dialect import FROM_NODE_TO_RUNNER
from zmesh.wire.request import Attached, Cancel, Id, NotStarted, Outcome, Reply, Request
from zmesh.wire.request import Stop as StopMessage

__all__ = ["run"]

WAITING_POLL_S = 0.01
"""How often a runner that ends looks whether its last messages have gone."""

log = logging.getLogger(__name__)


def run(
    service: Service,
    endpoint: str,
    concurrency: int,
    stop: Stop,
    limits: RunnerLimits,
    set_up: Callable[[], Awaitable[None]],
) -> None:
    """Await ``set_up``, then run requests until ``stop`` is requested, and end without loss; all in one event loop."""
    asyncio.run(_run(service, endpoint, concurrency, stop, limits, set_up))


async def _run(
    service: Service,
    endpoint: str,
    concurrency: int,
    stop: Stop,
    limits: RunnerLimits,
    set_up: Callable[[], Awaitable[None]],
) -> None:
    await set_up()
    stop.on_signals()
    context = open_context()
    try:
        async with asyncio.TaskGroup() as tasks:
            await _Loop(service, context, concurrency, stop, limits, tasks).serve(endpoint)
    finally:
        close_context(context)


class _Loop:
    """One connection and the tasks of the requests in hand."""

    def __init__(
        self,
        service: Service,
        context: Context,
        concurrency: int,
        stop: Stop,
        limits: RunnerLimits,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._service = service
        self._stop = stop
        self._limits = limits
        self._tasks = tasks
        self._connection = Connection(service, secrets.randbits(64), concurrency, os.getpid())
        # The node gives no more than there are slots, except after a connection broke with requests in hand.
        self._slots = asyncio.Semaphore(concurrency)
        self._in_hand: dict[Id, asyncio.Task[Answer]] = {}
        self._stopping = asyncio.Event()
        self._empty = asyncio.Event()
        self._answer_lost = False
        self._dealer = DealerSocket(
            context,
            service.name,
            FROM_NODE_TO_RUNNER,
            self._on_message,
            self._on_refused,
            connect_timeout_s=limits.send_timeout_s,
            on_up=self._say_ready,
            version=RUNNER_VERSION,
        )

    async def serve(self, endpoint: str) -> None:
        """Until the stop, and then until what is in hand is answered."""
        asyncio.get_running_loop().add_reader(self._stop.wakeup_fd, self._begin_to_stop)
        self._dealer.connect(endpoint)
        while not self._stopping.is_set():
            try:
                await asyncio.wait_for(self._stopping.wait(), self._limits.ready_interval_s)
            except TimeoutError:
                self._say_ready()
        if self._in_hand:
            log.info("stopping: %s; %d requests are in hand", self._stop.reason, len(self._in_hand))
            # On a broken device not for ever: the stop sees to that.
            await self._empty.wait()
        await self._all_taken()
        if not self._answer_lost:
            self._dealer.send(self._connection.stopped(self._stop.reason))
            await self._all_taken()
        self._dealer.close()

    async def _all_taken(self) -> None:
        """Give a node that is slow to read the time that each message has; then it is refused."""
        while self._dealer.up and self._dealer.waiting:
            await asyncio.sleep(WAITING_POLL_S)

    def _begin_to_stop(self) -> None:
        # Nobody reads the descriptor, so it would call again and again.
        asyncio.get_running_loop().remove_reader(self._stop.wakeup_fd)
        self._stopping.set()

    def _say_ready(self) -> None:
        if self._dealer.up and not self._stopping.is_set():
            self._dealer.send(self._connection.ready())

    def _on_message(self, header: Header, body: Body) -> None:
        if isinstance(header, Request):
            self._take(header, body)
        elif isinstance(header, Cancel):
            task = self._in_hand.get(header.id)
            if task is not None:
                task.cancel()
        elif isinstance(header, StopMessage):
            self._stop.request("STOP")
        elif isinstance(header, Attached) and self._connection.attached(header):
            log.info("attached to node %s", header.node_id)

    def _take(self, request: Request, body: Body) -> None:
        # Once stopping, what comes is not taken: STOPPED says so, and the node gives it to another runner.
        if self._stop.requested or request.id in self._in_hand:
            return
        received_at = time.monotonic()
        task = self._tasks.create_task(self._run_one(request, body, received_at))
        self._in_hand[request.id] = task
        task.add_done_callback(functools.partial(self._done, request.id))

    async def _run_one(self, request: Request, body: Body, received_at: float) -> Answer:
        async with self._slots:
            return await self._service.run_async(request, body, received_at)

    def _done(self, request_id: Id, task: asyncio.Task[Answer]) -> None:
        del self._in_hand[request_id]
        if self._stopping.is_set() and not self._in_hand:
            self._empty.set()
        if task.cancelled():
            # Before service code was reached.
            self._send(Answer(Reply(request_id, Outcome.CANCELLED)))
        elif task.exception() is None:
            self._send(task.result())

    def _send(self, answer: Answer) -> None:
        try:
            taken = self._dealer.send(answer.header, answer.body)
        except LocalProtocolError as error:
            taken = self._dealer.send(unsendable(answer, error))
        if not taken:
            self._on_refused(answer.header)
        if answer.fatal:
            self._stop.device_lost(self._limits.device_exit_s)

    def _on_refused(self, header: Header) -> None:
        if not isinstance(header, Reply | NotStarted):
            return
        if not self._dealer.up:
            log.warning("an answer was not sent: the node is gone, and the request with it")
            return
        # The slot would stay taken for ever. STOPPED is not said either: it would promise that this request was never
        # taken, and another runner would run it again.
        if not self._answer_lost:
            log.error(
                "an answer was not sent though the node is there: this process ends, so that the node sees it lost"
            )
        self._answer_lost = True
        self._stop.request("an answer was not taken", EXIT_FAILED)
