"""Runs a synchronous function: threads, each with a DEALER of its own, each one slot, each in a plain blocking loop.

Plain, because an event loop on the way costs a third of the whole path's rate. A thread reads nothing while it runs a
request, so a CANCEL is read after the answer and changes nothing; the node drops that answer.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time

from zmesh.config.limits import RunnerLimits
from zmesh.net.blocking import BlockingDealer
from zmesh.net.context import Context, close_context, open_context
from zmesh.runner.call import Service
from zmesh.runner.connection import Connection
from zmesh.runner.stop import EXIT_DEVICE, EXIT_FAILED, Stop
from zmesh.wire import RUNNER_VERSION, Body, Header
from zmesh.wire.dialect import FROM_NODE_TO_RUNNER
from zmesh.wire.request import Attached, Request
from zmesh.wire.request import Stop as StopMessage

__all__ = ["run"]

log = logging.getLogger(__name__)


def run(service: Service, endpoint: str, concurrency: int, stop: Stop, limits: RunnerLimits) -> None:
    """Run requests until ``stop`` is requested, and end without loss; the first loop is this thread's own.

    A loop that fails requests the stop itself: a slot that nobody serves must not look alive.
    """
    context = open_context()
    loops = [_Loop(service, context, endpoint, stop, limits) for _ in range(concurrency)]
    # Daemons: on a broken device a thread may never come back, and must not keep the process.
    threads = [threading.Thread(target=loop.run, name=f"slot-{n}", daemon=True) for n, loop in enumerate(loops)]
    for thread in threads[1:]:
        thread.start()
    loops[0].run()
    _join(threads[1:], stop, limits)
    close_context(context)


def _join(threads: list[threading.Thread], stop: Stop, limits: RunnerLimits) -> None:
    """Wait for what is in hand; on a broken device not for ever."""
    ends_at = time.monotonic() + limits.device_exit_s
    for thread in threads:
        while thread.is_alive():
            thread.join(limits.ready_interval_s)
            if stop.status == EXIT_DEVICE and time.monotonic() > ends_at:
                log.error("a thread does not come back from the broken device")
                os._exit(EXIT_DEVICE)


class _Loop:
    """One thread, one connection, one slot."""

    def __init__(self, service: Service, context: Context, endpoint: str, stop: Stop, limits: RunnerLimits) -> None:
        self._service = service
        self._context = context
        self._endpoint = endpoint
        self._stop = stop
        self._limits = limits
        self._connection = Connection(service, secrets.randbits(64), 1, os.getpid())

    def run(self) -> None:
        """Until the stop; whatever fails here ends the process."""
        try:
            self._serve()
        except BaseException:
            log.exception("the loop of a slot failed")
            self._stop.request("the loop of a slot failed", EXIT_FAILED)

    def _serve(self) -> None:
        dealer = BlockingDealer(
            self._context,
            self._service.name,
            FROM_NODE_TO_RUNNER,
            wakeup_fd=self._stop.wakeup_fd,
            version=RUNNER_VERSION,
        )
        dealer.connect(self._endpoint)
        ready_at = 0.0
        while not self._stop.requested:
            now = time.monotonic()
            if now >= ready_at:
                # While there is no node this waits for one, and says READY the moment it is there.
                dealer.send(self._connection.ready(), timeout_s=self._limits.ready_interval_s)
                ready_at = now + self._limits.ready_interval_s
            message = dealer.recv(max(0.0, ready_at - time.monotonic()))
            if message is not None:
                self._on_message(dealer, *message)
        # Here nothing is in hand, and what may still lie in the socket is never read: it goes to another runner.
        dealer.send(self._connection.stopped(self._stop.reason))
        dealer.close()

    def _on_message(self, dealer: BlockingDealer, header: Header, body: Body) -> None:
        if isinstance(header, Request):
            answer = self._service.run(header, body)
            if not dealer.send(answer.header, answer.body, timeout_s=self._limits.send_timeout_s):
                log.warning("an answer was not sent: the node is gone, and the request with it")
            if answer.fatal:
                self._stop.request("the device is unusable", EXIT_DEVICE)
        elif isinstance(header, StopMessage):
            self._stop.request("STOP")
        elif isinstance(header, Attached) and self._connection.attached(header):
            log.info("attached to node %s", header.node_id)
