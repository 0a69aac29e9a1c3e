"""What this node publishes on its box: its gateways' replica of the table, and events for monitor scripts.

Decides what an event says and when there is one; each topic counts its own, so that a subscriber sees what it missed.
What an event carries came from anywhere, so its texts are clipped to what a subscriber takes, and one that cannot be
written at all is dropped with a gap in the count: nothing here may fail the caller.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from zmesh.dispatch.event import RequestEnded
from zmesh.errors import LocalProtocolError
from zmesh.membership.replica_feed import ReplicaFeed
from zmesh.net.alarm import Alarm
from zmesh.net.pubsub import XPubSocket
from zmesh.telemetry.log import get_logger
from zmesh.wire import Kind, Topic
from zmesh.wire.event import (
    Event,
    EventHead,
    LogEvent,
    MemberEvent,
    MemberView,
    RequestEvent,
    ServiceEvent,
    SocketEvent,
    encode_event,
)
from zmesh.wire.field import SHORT_MAX, clip
from zmesh.wire.record import Advertisement, decode_record
from zmesh.wire.request import RequestId

__all__ = ["Events"]

log = get_logger()


class _Shown(NamedTuple):
    """What MEMBER events tell of a member."""

    state: str
    incarnation: int
    draining: bool
    services: tuple[str, ...]


class Events:
    """The events PUB of one node instance."""

    def __init__(self, feed: ReplicaFeed, publisher: XPubSocket, node_id: str, instance: int) -> None:
        self._feed = feed
        self._publisher = publisher
        self._node_id = node_id
        self._instance = instance
        self._counts: Counter[Topic] = Counter()
        self._members: dict[str, _Shown] = {}
        """What was said of each member last: its load changes all the time, and is no event."""
        self._loop = asyncio.get_running_loop()
        self._alarm = Alarm(self._loop, self._ring)
        self._ring()

    def member_changed(self, view: MemberView) -> None:
        """A member is new or changed."""
        self._feed.member_changed(view, self._loop.time())
        self.turn()
        shown = _shown(view)
        if self._members.get(view.node_id) != shown:
            self._members[view.node_id] = shown
            self._member(view.node_id, shown)

    def member_forgotten(self, node_id: str) -> None:
        """A member is no longer remembered."""
        self._feed.member_forgotten(node_id)
        self.turn()
        self._members.pop(node_id, None)
        self._member(node_id, _Shown("forgotten", 0, False, ()))

    def table_synced(self) -> None:
        """The table is whole, or this node is alone."""
        self._feed.table_synced()
        self.turn()

    def service_changed(self, service: str, state: str, runners: int, detail: str = "") -> None:
        """Runners of a service came, went, or are kept from starting."""
        self._publish(
            Topic.SERVICE,
            ServiceEvent(
                time_unix=time.time(),
                service=service,
                state=clip(state, SHORT_MAX),
                runners=runners,
                detail=clip(detail),
            ),
        )

    def request_ended(self, ended: RequestEnded) -> None:
        """A request has its end on this box: often, and seldom is anybody listening."""
        if not self._publisher.wanted(Kind.EVENT, Topic.REQUEST):
            self._counts[Topic.REQUEST] += 1
            return
        self._publish(
            Topic.REQUEST,
            RequestEvent(
                time_unix=time.time(),
                request_id=str(RequestId(*ended.id)),
                service=ended.service,
                outcome=ended.outcome.name.lower(),
                queue_ms=ended.queue_us / 1000,
                run_ms=ended.run_us / 1000,
                detail=clip(ended.detail),
            ),
        )

    def socket_changed(self, socket: str, peer: str, change: str) -> None:
        """A connection of this node is up or lost, or a message for it was refused."""
        peer = clip(peer, SHORT_MAX)
        self._publish(Topic.SOCKET, SocketEvent(time_unix=time.time(), socket=socket, peer=peer, change=change))

    def logged(self, level: str, message: str, fields: Mapping[str, str], missed: int = 0) -> None:
        """A line was logged at warning or above; before it ``missed`` others were not told."""
        self._counts[Topic.LOG] += missed
        self._publish(
            Topic.LOG, LogEvent(time_unix=time.time(), level=level, message=clip(message), fields=dict(fields))
        )

    def turn(self) -> None:
        """Publish what the feed has by now."""
        for header in self._feed.messages_to_send():
            self._publisher.publish(header, topic=Topic.REPLICA)

    def close(self) -> None:
        """Repeat nothing any more."""
        self._alarm.close()

    def _ring(self) -> None:
        self._feed.handle_timer(self._loop.time())
        self.turn()
        self._alarm.set(self._feed.next_timer())

    def _member(self, node_id: str, shown: _Shown) -> None:
        self._publish(
            Topic.MEMBER,
            MemberEvent(
                time_unix=time.time(),
                node_id=node_id,
                state=shown.state,
                incarnation=shown.incarnation,
                services=list(shown.services),
                reason="draining" if shown.draining else "",
            ),
        )

    def _publish(self, topic: Topic, event: Event) -> None:
        self._counts[topic] += 1
        head = EventHead(self._node_id, self._instance, self._counts[topic])
        try:
            self._publisher.publish(head, encode_event(event), topic)
        except LocalProtocolError as error:
            log.debug("an event was dropped", reason=str(error))


def _shown(view: MemberView) -> _Shown:
    record = decode_record(view.advertisement) if view.advertisement else None
    if not isinstance(record, Advertisement):
        return _Shown(view.state.name.lower(), view.incarnation, False, ())
    services = tuple(offer.name for offer in record.services)
    return _Shown(view.state.name.lower(), view.incarnation, record.draining, services)
