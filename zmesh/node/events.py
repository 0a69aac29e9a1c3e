"""What this node publishes on its box: its gateways' replica of the table, and events for monitor scripts.

Decides what an event says; each topic counts its own, so that a subscriber sees what it missed.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter

from zmesh.dispatch.event import RequestEnded
from zmesh.membership.replica_feed import ReplicaFeed
from zmesh.net.alarm import Alarm
from zmesh.net.pubsub import XPubSocket
from zmesh.wire import Topic
from zmesh.wire.event import Event, EventHead, MemberEvent, MemberView, RequestEvent, ServiceEvent, encode_event
from zmesh.wire.record import Advertisement, decode_record
from zmesh.wire.request import RequestId

__all__ = ["Events"]


class Events:
    """The events PUB of one node instance."""

    def __init__(self, feed: ReplicaFeed, publisher: XPubSocket, node_id: str, instance: int) -> None:
        self._feed = feed
        self._publisher = publisher
        self._node_id = node_id
        self._instance = instance
        self._counts: Counter[Topic] = Counter()
        self._loop = asyncio.get_running_loop()
        self._alarm = Alarm(self._loop, self._ring)
        self._ring()

    def member_changed(self, view: MemberView) -> None:
        """A member is new or changed."""
        self._feed.member_changed(view, self._loop.time())
        record = decode_record(view.advertisement) if view.advertisement else None
        services = [offer.name for offer in record.services] if isinstance(record, Advertisement) else []
        self._publish(
            Topic.MEMBER,
            MemberEvent(
                time_unix=time.time(),
                node_id=view.node_id,
                state=view.state.name.lower(),
                incarnation=view.incarnation,
                services=services,
            ),
        )
        self.turn()

    def member_forgotten(self, node_id: str) -> None:
        """A member is no longer remembered."""
        self._feed.member_forgotten(node_id)
        self._publish(
            Topic.MEMBER, MemberEvent(time_unix=time.time(), node_id=node_id, state="forgotten", incarnation=0)
        )
        self.turn()

    def table_synced(self) -> None:
        """The table is whole, or this node is alone."""
        self._feed.table_synced()
        self.turn()

    def service_changed(self, service: str, state: str, runners: int, detail: str = "") -> None:
        """Runners of a service came, went, or are kept from starting."""
        event = ServiceEvent(time_unix=time.time(), service=service, state=state, runners=runners, detail=detail)
        self._publish(Topic.SERVICE, event)

    def request_ended(self, ended: RequestEnded) -> None:
        """A request has its end on this box."""
        self._publish(
            Topic.REQUEST,
            RequestEvent(
                time_unix=time.time(),
                request_id=str(RequestId(*ended.id)),
                service=ended.service,
                outcome=ended.outcome.name.lower(),
                queue_ms=ended.queue_us / 1000,
                run_ms=ended.run_us / 1000,
                detail=ended.detail,
            ),
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

    def _publish(self, topic: Topic, event: Event) -> None:
        self._counts[topic] += 1
        head = EventHead(self._node_id, self._instance, self._counts[topic])
        self._publisher.publish(head, encode_event(event), topic)
