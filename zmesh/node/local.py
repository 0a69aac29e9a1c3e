"""The shell around the dispatcher: this box's work. Moves messages, watches runner processes; decides nothing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Hashable, Mapping

from zmesh.dispatch.dispatcher import Dispatcher
from zmesh.dispatch.event import Event, Outgoing, RunnerAttached
from zmesh.errors import LocalProtocolError
from zmesh.net.alarm import Alarm
from zmesh.net.router import Route, RouterSocket
from zmesh.telemetry.log import get_logger
from zmesh.wire import Body, Header

__all__ = ["REQUEST_SOCKET", "Work"]

REQUEST_SOCKET = "request"
"""Name of the ROUTER that other boxes speak to."""

log = get_logger()


class Work:
    """Requests of every asker in, this box's runners out; lives in the event loop's thread."""

    def __init__(
        self, dispatcher: Dispatcher, loop: asyncio.AbstractEventLoop, on_event: Callable[[Event], None]
    ) -> None:
        """``on_event`` gets every event of the dispatcher, after the messages that go with it were sent."""
        self._dispatcher = dispatcher
        self._loop = loop
        self._on_event = on_event
        self._routers: Mapping[str, RouterSocket] = {}
        self._alarm = Alarm(loop, self._ring)
        self._pidfds: dict[int, int] = {}
        self._in_turn = False
        self._closed = False

    def start(self, routers: Mapping[str, RouterSocket]) -> None:
        """Begin to answer on ``routers``, by the socket name that their routes carry."""
        self._routers = routers

    def receive(self, route: Route, header: Header, body: Body) -> None:
        """A message of an asker or a runner has come."""
        self._dispatcher.receive(header, body, route, self._loop.time())
        self.turn()

    def unroutable(self, route: Route, header: Header) -> None:
        """A message found no connection; whoever was there is gone."""
        self._refused(route, header)
        self.turn()

    def turn(self) -> None:
        """Carry out what the dispatcher wants by now, and what it wants because of what that brought."""
        if self._in_turn or self._closed:
            return  # a turn that is under way goes on until nothing is left
        self._in_turn = True
        try:
            self._settle()
        finally:
            self._in_turn = False
            self._alarm.set(self._dispatcher.next_timer())

    def close(self) -> None:
        """Watch nothing any more."""
        self._closed = True
        self._alarm.close()
        for pid in tuple(self._pidfds):
            self._unwatch(pid)

    def _settle(self) -> None:
        dispatcher = self._dispatcher
        while True:
            while messages := dispatcher.messages_to_send():
                for message in messages:
                    self._send(message)
            event = dispatcher.next_event()
            if event is None:
                return
            try:
                self._take(event)
            except Exception:
                log.exception("an event of the dispatcher was not followed", at=type(event).__name__)

    def _send(self, message: Outgoing) -> None:
        """What a full or closed socket refuses has no one to go to, like what finds no connection."""
        route, header, body = message
        assert isinstance(route, Route)
        try:
            taken = self._routers[route.socket].send(route.identity, header, body)
        except LocalProtocolError:
            # Over a limit of the wire: nobody will ever get it, and the messages behind it must go on.
            log.exception("a message of the dispatcher cannot be written", kind=type(header).__name__)
            return
        if not taken:
            self._refused(route, header)

    def _take(self, event: Event) -> None:
        if isinstance(event, RunnerAttached):
            self._watch(event.pid)
        self._on_event(event)

    def _refused(self, route: Hashable, header: Header) -> None:
        """Another box's gateway may connect again after its link broke; one of this box is gone with its process."""
        may_return = isinstance(route, Route) and route.socket == REQUEST_SOCKET
        self._dispatcher.unroutable(route, self._loop.time(), header, may_return=may_return)

    def _ring(self) -> None:
        self._dispatcher.handle_timer(self._loop.time())
        self.turn()

    def _watch(self, pid: int) -> None:
        """Learn of the process's end within a millisecond; its connection would tell only after dozens."""
        if pid in self._pidfds:
            return
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            self._loop.call_soon(self._exited, pid)
            return
        except (OSError, OverflowError):
            return  # out of descriptors, or no pid of here: the dispatcher's own probe finds the dead
        self._pidfds[pid] = pidfd
        self._loop.add_reader(pidfd, self._exited, pid)

    def _exited(self, pid: int) -> None:
        self._unwatch(pid)
        self._dispatcher.runner_exited(pid, self._loop.time())
        self.turn()

    def _unwatch(self, pid: int) -> None:
        pidfd = self._pidfds.pop(pid, None)
        if pidfd is not None:
            self._loop.remove_reader(pidfd)
            os.close(pidfd)
