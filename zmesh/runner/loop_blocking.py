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
from contextlib import closing

from zmesh.config.limits import RunnerLimits
from zmesh.errors import LocalProtocolError
from zmesh.net.blocking import BlockingDealer
from zmesh.net.context import Context, close_context, open_context
from zmesh.runner.call import Answer, Service, unsendable
from zmesh.runner.connection import Connection
from zmesh.runner.stop import EXIT_FAILED, Stop
from zmesh.wire import RUNNER_VERSION, Body, Header
from zmesh.wire.dialect import FROM_NODE_TO_RUNNER
from zmesh.wire.request import Attached, Request
from zmesh.wire.request import Stop as StopMessage

__all__ = ["run"]

log = logging.getLogger(__name__)


def run(service: Service, endpoint: str, concurrency: int, stop: Stop, limits: RunnerLimits) -> None:
    """Run requests until ``stop`` is requested, and end without loss.

    The first loop runs in this thread, the process's main one: with one slot, service code is where libraries that
    insist on the main thread (signal handlers, an event loop of their own) expect it to be. A loop that fails requests
    the stop itself and closes its connection: a slot that nobody serves must not look alive. On a broken device
    ``stop`` ends the process, in whichever thread a call hangs.
    """
    context = open_context()
    first, *others = [_Loop(service, context, endpoint, stop, limits) for _ in range(concurrency)]
    # Daemons, so that none is waited for when another cannot be started.
    threads = [threading.Thread(target=loop.run, name=f"slot-{n}", daemon=True) for n, loop in enumerate(others, 1)]
    for thread in threads:
        thread.start()
    first.run()
    for thread in threads:
        thread.join()
    close_context(context)


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
            dealer = BlockingDealer(
                self._context,
                self._service.name,
                FROM_NODE_TO_RUNNER,
                wakeup_fd=self._stop.wakeup_fd,
                version=RUNNER_VERSION,
            )
            with closing(dealer):
                self._serve(dealer)
        except BaseException:
            log.exception("the loop of a slot failed")
            self._stop.request("the loop of a slot failed", EXIT_FAILED)

    def _serve(self, dealer: BlockingDealer) -> None:
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

    def _on_message(self, dealer: BlockingDealer, header: Header, body: Body) -> None:
        if isinstance(header, Request):
            answer = self._service.run(header, body)
            if not self._send(dealer, answer):
                log.warning("an answer was not sent: the node is gone, and the request with it")
            if answer.fatal:
                self._stop.device_lost(self._limits.device_exit_s)
        elif isinstance(header, StopMessage):
            self._stop.request("STOP")
        elif isinstance(header, Attached) and self._connection.attached(header):
            log.info("attached to node %s", header.node_id)

    def _send(self, dealer: BlockingDealer, answer: Answer) -> bool:
        timeout_s = self._limits.send_timeout_s
        try:
            return dealer.send(answer.header, answer.body, timeout_s=timeout_s)
        except LocalProtocolError as error:
            return dealer.send(unsendable(answer, error), timeout_s=timeout_s)
