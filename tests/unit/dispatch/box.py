"""A dispatcher with a stepped clock, and the few messages that tests of it send again and again."""

from collections.abc import Hashable
from random import Random
from typing import Any

from zmesh.config.limits import DispatchLimits
from zmesh.dispatch.dispatcher import Dispatcher
from zmesh.dispatch.event import Event, Outgoing, RequestEnded
from zmesh.wire.request import Cancel, Id, Outcome, Ready, Reason, Reply, Request, Stopped

INSTANCE = 77
ASKER = 9


class Box:
    """One node's dispatcher that offers ``ocr``; time stands still unless a test moves it."""

    def __init__(self, queue_length_max: int = 4, **limits: Any) -> None:
        self.limits = DispatchLimits(**limits)
        self.dispatcher = Dispatcher("box", INSTANCE, self.limits, Random(1))
        self.dispatcher.offer("ocr", queue_length_max)
        self.now = 100.0
        self.events: list[Event] = []

    def take(self) -> list[Outgoing]:
        """What is to be sent; the events go to ``events``."""
        while (event := self.dispatcher.next_event()) is not None:
            self.events.append(event)
            if isinstance(event, RequestEnded) and event.outcome is not Reason.WRONG_INSTANCE:
                remembered = self.dispatcher._executions.find(event.id)
                assert remembered is None or remembered.ended_at == self.now
        return self.dispatcher.messages_to_send()

    def receive(self, header: Any, route: Hashable, body: bytes = b"") -> list[Outgoing]:
        self.dispatcher.receive(header, body, route, self.now)
        return self.take()

    def runner(self, route: Hashable = "r1", number: int = 1, *, slots: int = 1, pid: int = 11, **fields: Any) -> Any:
        fields = {"service": "ocr", "node_instance": 0} | fields
        return self.receive(Ready(runner=number, slots=slots, pid=pid, **fields), route)

    def ask(self, serial: int, route: Hashable = "a1", body: bytes = b"in", **fields: Any) -> list[Outgoing]:
        fields = {"id": (ASKER, serial), "target": INSTANCE, "service": "ocr", "remaining_ms": 60_000} | fields
        return self.receive(Request(**fields), route, body)

    def reply(self, serial: int, route: Hashable = "r1", body: bytes = b"out", **fields: Any) -> list[Outgoing]:
        return self.receive(Reply((ASKER, serial), **({"outcome": Outcome.OK} | fields)), route, body)

    def cancel(self, serial: int, route: Hashable = "a1") -> list[Outgoing]:
        return self.receive(Cancel((ASKER, serial)), route)

    def stopped(self, route: Hashable = "r1", number: int = 1) -> list[Outgoing]:
        return self.receive(Stopped(number), route)

    def unroutable(self, route: Hashable, header: Any = None, *, may_return: bool = False) -> list[Outgoing]:
        self.dispatcher.unroutable(route, self.now, header, may_return=may_return)
        return self.take()

    def step(self, seconds: float) -> list[Outgoing]:
        """Let time pass as a shell does: at each timer that falls due."""
        until = self.now + seconds
        sent: list[Outgoing] = []
        while (due := self.dispatcher.next_timer()) is not None and due <= until:
            self.now = max(self.now, due)
            self.dispatcher.handle_timer(self.now)
            sent += self.take()
        self.now = until
        return sent

    def ended(self) -> list[tuple[Id, Any]]:
        """Id and outcome of every request that has ended so far."""
        self.take()
        return [(event.id, event.outcome) for event in self.events if isinstance(event, RequestEnded)]


def given(sent: list[Outgoing]) -> list[tuple[Hashable, int]]:
    """Runner's route and serial of each request handed over."""
    return [(message.route, message.header.id[1]) for message in sent if isinstance(message.header, Request)]


def answers(sent: list[Outgoing]) -> list[tuple[Hashable, int, Any]]:
    """Asker's route, serial, and outcome or reason of each end."""
    return [
        (
            message.route,
            message.header.id[1],
            getattr(message.header, "outcome", getattr(message.header, "reason", None)),
        )
        for message in sent
        if hasattr(message.header, "outcome") or hasattr(message.header, "reason")
    ]
