"""A gateway's copy of its node's view of the mesh: follows numbered updates, repairs every loss by a snapshot.

Decides what a gateway may believe of members and which of them offer a service; knows nothing of probes, gossip or
signatures (its node has checked all of that) and nothing of how requests are routed.

Invariant: each entry carries the update number it was last true at, and nothing older overwrites it. A snapshot comes
in parts, each true at a number of its own, while updates go on: it counts once the updates heard reach without a gap
from the first part's number to the newest heard. While a restarted node has not synced, its silence about a member
means nothing and what was known stays.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias, TypeVar

from msgspec import Struct

from zmesh.config.limits import MembershipLimits
from zmesh.errors import RemoteProtocolError
from zmesh.wire import Header
from zmesh.wire.event import MemberView, ReplicaMark, ReplicaRequest, ReplicaSnapshot, ReplicaUpdate
from zmesh.wire.membership import State
from zmesh.wire.record import Advertisement, Load, decode_record

__all__ = ["Replica", "ReplicaChanged", "ReplicaEvent", "ReplicaMember", "ReplicaRemoved"]

INSTANCES_RETIRED_MAX = 16
"""Earlier starts of the node whose late messages are still recognised as such."""


class ReplicaMember(Struct, frozen=True):
    """One member as the node sees it, its records decoded."""

    node_id: str
    instance: int
    incarnation: int
    state: State
    advertisement: Advertisement | None
    load: Load | None
    load_at: float
    """When the load was true, seconds on this gateway's clock; meaningless without a load."""
    rtt_us: int

    @property
    def is_eligible(self) -> bool:
        """New requests may go there: it is not known to be gone, and does not drain."""
        return self.state <= State.SUSPECT and self.advertisement is not None and not self.advertisement.draining

    def has_ready(self, service: str) -> bool:
        """It has a ready runner of ``service``, as it said last."""
        return self.advertisement is not None and any(service == o.name for o in self.advertisement.services)


class ReplicaChanged(Struct, frozen=True):
    """A member is new, or something of it that routing may depend on has changed."""

    view: ReplicaMember


class ReplicaRemoved(Struct, frozen=True):
    """A member is no longer remembered."""

    node_id: str


ReplicaEvent: TypeAlias = ReplicaChanged | ReplicaRemoved

R = TypeVar("R", Advertisement, Load)


class _Entry:
    """A member, the bytes it was decoded from, and the update number it was last true at."""

    __slots__ = ("member", "sequence", "view")

    def __init__(self, member: ReplicaMember, view: MemberView, sequence: int) -> None:
        self.member = member
        self.view = view
        self.sequence = sequence


class _Fetch:
    """A snapshot under way."""

    __slots__ = ("cursor", "floor", "named", "removed_at", "synced")

    def __init__(self) -> None:
        self.cursor = ""
        self.floor: int | None = None
        """Number of the first part, the oldest of all."""
        self.named: set[str] = set()
        self.removed_at: dict[str, int] = {}
        """What updates removed meanwhile: a part that is older must not bring it back."""
        self.synced = True


class Replica:
    """The table as this gateway knows it."""

    def __init__(self, asker: int, limits: MembershipLimits | None = None) -> None:
        """``asker`` is the gateway's instance. Nothing is asked for before the first ``handle_timer``."""
        self._asker = asker
        self._limits = limits or MembershipLimits()
        self._entries: dict[str, _Entry] = {}
        self._members: dict[str, ReplicaMember] = {}
        self._offerers: dict[str, dict[str, None]] = {}
        self._owners: dict[str, tuple[ReplicaMember, ...]] = {}
        self._home: tuple[str, int] | None = None
        self._retired: deque[int] = deque(maxlen=INSTANCES_RETIRED_MAX)
        self._node_started_at: float | None = None
        self._synced = False
        self._events: deque[ReplicaEvent] = deque()
        self._outbox: list[Header] = []
        self._fetch: _Fetch | None = _Fetch()
        self._ask_at: float | None = 0.0
        self._follow_afresh()

    # What is known

    @property
    def members(self) -> Mapping[str, ReplicaMember]:
        """All members by node id, the dead and departed that are still remembered included."""
        return MappingProxyType(self._members)

    @property
    def home(self) -> tuple[str, int] | None:
        """(node id, instance) of this box's node; None before it was heard."""
        return self._home

    @property
    def synced(self) -> bool:
        """A node that knows the whole table has told it once; what is known then outlives the node's restarts."""
        return self._synced

    def uptime_s(self, now: float) -> float:
        """Seconds since this box's node started; 0 before it was heard."""
        return 0.0 if self._node_started_at is None else max(0.0, now - self._node_started_at)

    def owners(self, service: str) -> tuple[ReplicaMember, ...]:
        """Members that new requests for ``service`` may go to, in the order in which they came to offer it."""
        owners = self._owners.get(service)
        if owners is None:
            owners = tuple(m for m in self.offerers(service) if m.is_eligible and m.has_ready(service))
            if service in self._offerers:  # names asked for but offered nowhere must not fill the cache
                self._owners[service] = owners
        return owners

    def offerers(self, service: str) -> tuple[ReplicaMember, ...]:
        """All members that are set up for ``service``, or were when last heard: ready or not, alive or not."""
        return tuple(self._members[node_id] for node_id in self._offerers.get(service, ()))

    def known(self, service: str) -> bool:
        """Whether any remembered member is set up for ``service``, dead and draining ones included."""
        return service in self._offerers

    # The machine

    def receive(self, header: Header, now: float) -> None:
        """A ReplicaUpdate, ReplicaMark or ReplicaSnapshot of this box's node; its earlier starts' are dropped."""
        assert isinstance(header, ReplicaUpdate | ReplicaMark | ReplicaSnapshot)
        if header.instance in self._retired:
            return
        if self._home != (header.node_id, header.instance):
            self._turn_to(header.node_id, header.instance, now)
        if isinstance(header, ReplicaUpdate):
            self._take_update(header, now)
        elif isinstance(header, ReplicaMark):
            self._hear_of(header.sequence, now)
        else:
            self._take_part(header, now)

    def handle_timer(self, now: float) -> None:
        """Ask again for a part that has not come."""
        if self._ask_at is not None and now >= self._ask_at:
            self._ask(now)

    def next_timer(self) -> float | None:
        """When ``handle_timer`` wants to be called; None while all is known."""
        return self._ask_at

    def messages_to_send(self) -> list[Header]:
        """Requests for gateway.ipc."""
        messages, self._outbox = self._outbox, []
        return messages

    def next_event(self) -> ReplicaEvent | None:
        """The oldest change not yet taken; None when there is none."""
        return self._events.popleft() if self._events else None

    # Following updates

    def _follow_afresh(self) -> None:
        """Numbers start again: nothing of this instance was heard yet."""
        self._heard = 0
        self._unbroken_from = 1
        self._node_synced = False
        self._swept = False

    def _turn_to(self, node_id: str, instance: int, now: float) -> None:
        """The node is there, or has restarted: keep what is known, number it as older than anything it will say."""
        if self._home is not None:
            self._retired.append(self._home[1])
        self._home = (node_id, instance)
        self._node_started_at = None
        for entry in self._entries.values():
            entry.sequence = 0
        self._follow_afresh()
        self._begin_fetch(now)

    def _take_update(self, update: ReplicaUpdate, now: float) -> None:
        if update.sequence <= self._heard:
            return
        self._hear_of(update.sequence - 1, now)
        self._heard = update.sequence
        for node_id in update.removed:  # first: they make room
            if self._fetch is not None:
                self._fetch.removed_at[node_id] = update.sequence
            entry = self._entries.get(node_id)
            if entry is not None and entry.sequence < update.sequence:
                self._remove(node_id)
        for view in update.members:
            self._put(view, update.sequence, now)
        if update.synced:
            self._node_synced = True
            if not self._swept and self._fetch is None:
                self._begin_fetch(now)

    def _hear_of(self, sequence: int, now: float) -> None:
        """The node has published up to ``sequence``; what of it was not heard is lost, for one socket keeps order."""
        if sequence <= self._heard:
            return
        self._heard = sequence
        self._unbroken_from = sequence + 1
        if self._fetch is None or not self._reaches(self._fetch.floor):
            self._begin_fetch(now)

    def _reaches(self, floor: int | None) -> bool:
        """Whether the updates heard go on without a gap from a part that was true at ``floor``."""
        return floor is None or self._unbroken_from <= floor + 1

    # Snapshots

    def _begin_fetch(self, now: float) -> None:
        self._fetch = _Fetch()
        self._ask(now)

    def _ask(self, now: float) -> None:
        assert self._fetch is not None
        self._outbox = [ReplicaRequest(self._asker, self._fetch.cursor)]
        self._ask_at = now + self._limits.replica_request_interval_s

    def _take_part(self, part: ReplicaSnapshot, now: float) -> None:
        fetch = self._fetch
        if fetch is None or part.cursor != fetch.cursor:
            return
        if fetch.floor is None:
            if not self._reaches(part.sequence):
                self._ask(now)
                return
            fetch.floor = part.sequence
        elif part.sequence < fetch.floor:
            return  # a late answer to a fetch that was given up
        self._node_started_at = now - part.uptime_ms / 1000
        fetch.synced = fetch.synced and part.synced
        for view in part.members:
            fetch.named.add(view.node_id)
            if fetch.removed_at.get(view.node_id, -1) <= part.sequence:
                self._put(view, part.sequence, now)
        if part.last or not part.members:
            self._end_fetch(fetch, now)
        else:
            fetch.cursor = part.members[-1].node_id
            self._ask(now)

    def _end_fetch(self, fetch: _Fetch, now: float) -> None:
        assert fetch.floor is not None
        self._fetch = None
        self._ask_at = None
        if fetch.floor > self._heard:
            # Updates up to the floor may still come: all they say is in the parts already.
            self._heard = fetch.floor
            self._unbroken_from = fetch.floor + 1
        if fetch.synced:
            self._synced = self._swept = True
            gone = [
                node_id
                for node_id, entry in self._entries.items()
                if node_id not in fetch.named and entry.sequence <= fetch.floor
            ]
            for node_id in gone:
                self._remove(node_id)
        elif self._node_synced:
            self._begin_fetch(now)

    # Entries and the index by service

    def _put(self, view: MemberView, sequence: int, now: float) -> None:
        old = self._entries.get(view.node_id)
        if old is None and len(self._entries) >= self._limits.members_max:
            return
        if old is not None and old.sequence > sequence:
            return
        member = _decoded(view, old, now)
        self._entries[view.node_id] = _Entry(member, view, sequence)
        self._members[view.node_id] = member
        if old is not None and _same(old.member, member):
            return
        self._reindex(view.node_id, old.member if old else None, member)
        self._events.append(ReplicaChanged(member))

    def _remove(self, node_id: str) -> None:
        entry = self._entries.pop(node_id)
        del self._members[node_id]
        self._reindex(node_id, entry.member, None)
        self._events.append(ReplicaRemoved(node_id))

    def _reindex(self, node_id: str, old: ReplicaMember | None, new: ReplicaMember | None) -> None:
        before = _offered(old)
        after = _offered(new)
        for service in before:
            self._owners.pop(service, None)
            if service not in after:
                offerers = self._offerers[service]
                del offerers[node_id]
                if not offerers:
                    del self._offerers[service]
        for service in after:
            self._owners.pop(service, None)
            self._offerers.setdefault(service, {})[node_id] = None


def _offered(member: ReplicaMember | None) -> dict[str, None]:
    """Names of its services, ready or not, each once, in its own order."""
    if member is None or member.advertisement is None:
        return {}
    ready = (offer.name for offer in member.advertisement.services)
    return dict.fromkeys((*ready, *member.advertisement.unready))


def _decoded(view: MemberView, old: _Entry | None, now: float) -> ReplicaMember:
    """The member in ``view``; what is unchanged is not decoded again, and the dead keep what they last offered.

    An instance never takes its advertisement back, so a view without one comes from a node that has not heard it yet:
    a restarted one meets others before their records reach it.
    """
    if view.advertisement:
        kept = old is not None and view.advertisement == old.view.advertisement
    else:
        kept = old is not None and (view.state >= State.DEAD or view.instance == old.member.instance)
    advertisement = old.member.advertisement if old and kept else _record(view.advertisement, Advertisement)
    load = old.member.load if old is not None and view.load == old.view.load else _record(view.load, Load)
    return ReplicaMember(
        view.node_id,
        view.instance,
        view.incarnation,
        view.state,
        advertisement,
        load,
        now - view.load_age_ms / 1000,
        view.rtt_us,
    )


def _record(payload: bytes, kind: type[R]) -> R | None:
    """The record of type ``kind`` in ``payload``; None when it holds none that this version can read."""
    if not payload:
        return None
    try:
        record = decode_record(payload)
    except RemoteProtocolError:
        return None
    return record if isinstance(record, kind) else None


def _same(old: ReplicaMember, new: ReplicaMember) -> bool:
    """Nothing that routing may depend on differs; ages and round-trip times always do."""
    return (
        old.instance == new.instance
        and old.incarnation == new.incarnation
        and old.state == new.state
        and old.advertisement == new.advertisement
        and old.load == new.load
    )
