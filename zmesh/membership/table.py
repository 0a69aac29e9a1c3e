"""The replicated map of records by (node, kind). Decides which record is newer and keeps the digests; knows no members.

The order is (incarnation, sequence), numbered by the owner alone; the instance is compared for equality only. A record
is kept as the bytes its owner signed, its age apart. Digests are per bucket the exclusive-or of the hashes of what is
held, so they are kept up to date at the cost of one hash a change, and are the same whatever the order of changes.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b

from zmesh.config.limits import MembershipLimits
from zmesh.wire.field import U32_MAX
from zmesh.wire.membership import RecordKind, Version
from zmesh.wire.record import Advertisement, Departure, Load, Record, SignedRecord

__all__ = ["Stored", "Table", "kind_of", "place_of"]

_KINDS: dict[type[Record], RecordKind] = {
    Advertisement: RecordKind.ADVERTISEMENT,
    Load: RecordKind.LOAD,
    Departure: RecordKind.DEPARTURE,
}


def kind_of(record: Record) -> RecordKind:
    """The slot a record belongs to."""
    return _KINDS[type(record)]


def place_of(node_id: str) -> int:
    """What sets the bucket of a node's entries, by its remainder; the same on every node and in every process."""
    return _hash64(node_id)


def _hash64(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest())


@dataclass(frozen=True, slots=True)
class Stored:
    """One record as it is held."""

    record: Record
    payload: bytes
    signature: bytes
    made_at: float
    """When its owner made it, on this node's clock, by the ages of all hops."""

    @property
    def kind(self) -> RecordKind:
        return kind_of(self.record)

    @property
    def version(self) -> Version:
        record = self.record
        return Version(record.node_id, self.kind, record.instance, record.incarnation, record.sequence)

    def age_s(self, now: float) -> float:
        return max(0.0, now - self.made_at)

    def signed(self, now: float) -> SignedRecord:
        """The record to pass on, this node's holding time added to its age."""
        return SignedRecord(self.payload, self.signature, min(U32_MAX, round(self.age_s(now) * 1000.0)))


class Table:
    """All records held, at most one per node and kind, and the deaths that digests must also tell."""

    def __init__(self, limits: MembershipLimits) -> None:
        self._limits = limits
        self._records: dict[str, dict[RecordKind, Stored]] = {}
        self._deaths: dict[str, tuple[int, int]] = {}
        self._order: list[str] = []
        self._places: dict[str, int] = {}
        """``place_of`` each id of ``_order``: a digest in other buckets than ours must not hash all anew."""
        self._sums: dict[str, int] = {}
        """Exclusive-or of the hashes of what is held of each."""
        self._buckets = [0] * limits.sync_buckets

    def get(self, node_id: str, kind: RecordKind) -> Stored | None:
        return self._records.get(node_id, {}).get(kind)

    def of(self, node_id: str) -> list[Stored]:
        """All records held of one node, in the order of kinds."""
        return [stored for _, stored in sorted(self._records.get(node_id, {}).items())]

    def after(self, node_id: str) -> Iterator[str]:
        """Ids of nodes with records or a death, in order, from the first above ``node_id``."""
        return iter(self._order[bisect_right(self._order, node_id) :])

    def is_news(self, record: Record) -> bool:
        """Whether ``record`` is newer than what is held of its node and kind, and not overruled by a departure."""
        held = self._records.get(record.node_id, {})
        same = held.get(kind_of(record))
        if same is not None and _order(record) <= _order(same.record):
            return False
        departure = held.get(RecordKind.DEPARTURE)
        return departure is None or record.incarnation > departure.record.incarnation

    def store(self, stored: Stored) -> None:
        """Take in a record that ``is_news``. What its node said as another instance or before it left goes; a departure
        takes everything else with it."""
        record = stored.record
        for held in self.of(record.node_id):
            superseded = held.kind is stored.kind or held.record.instance != record.instance
            if superseded or RecordKind.DEPARTURE in (stored.kind, held.kind):
                self._drop(held)
        self._records.setdefault(record.node_id, {})[stored.kind] = stored
        self._count(stored)

    def mark_dead(self, node_id: str, death: tuple[int, int] | None) -> None:
        """Digests tell that ``node_id`` is dead at (instance, incarnation); None: it is not."""
        held = self._deaths.pop(node_id, None)
        if held is not None:
            self._toggle(node_id, f"dead {held[0]} {held[1]}")
        if death is not None:
            self._deaths[node_id] = death
            self._toggle(node_id, f"dead {death[0]} {death[1]}")
        else:
            self._leave(node_id)

    def drop_others(self, node_id: str, instance: int) -> None:
        """The node is gone as ``instance``: what it said as another one is of no use, and not everybody has it."""
        for held in self.of(node_id):
            if held.record.instance != instance:
                self._drop(held)

    def forget(self, node_id: str) -> None:
        """Drop all of one node."""
        for held in self.of(node_id):
            self._drop(held)
        self.mark_dead(node_id, None)

    def expire(self, now: float) -> list[str]:
        """Drop load reports that are too old; the ids of their nodes."""
        oldest = now - self._limits.load_age_max_s
        old = [
            load
            for kinds in self._records.values()
            if (load := kinds.get(RecordKind.LOAD)) is not None and load.made_at < oldest
        ]
        for load in old:
            self._drop(load)
            self._leave(load.record.node_id)
        return [load.record.node_id for load in old]

    # Digests.

    def digest(self, count: int) -> tuple[int, ...]:
        """One 64-bit hash a bucket, for ``count`` buckets; this node's own count costs nothing."""
        if count == len(self._buckets):
            return tuple(self._buckets)
        buckets = [0] * count
        for node_id, place in self._places.items():
            buckets[place % count] ^= self._sums[node_id]
        return tuple(buckets)

    def in_buckets(self, buckets: Iterable[int], count: int) -> dict[int, list[str]]:
        """Ids of nodes with records or a death, in order, by bucket; those of ``buckets`` out of ``count``."""
        found: dict[int, list[str]] = {bucket: [] for bucket in buckets}
        for node_id in self._order:
            ids = found.get(self._places[node_id] % count)
            if ids is not None:
                ids.append(node_id)
        return found

    def _drop(self, stored: Stored) -> None:
        kinds = self._records[stored.record.node_id]
        del kinds[stored.kind]
        if not kinds:
            del self._records[stored.record.node_id]
        self._count(stored)

    def _count(self, stored: Stored) -> None:
        """Into the digest, or out of it again: exclusive-or is its own inverse."""
        version = stored.version
        self._toggle(version.node_id, f"{version.kind:d} {version.instance} {version.incarnation} {version.sequence}")

    def _toggle(self, node_id: str, entry: str) -> None:
        self._enter(node_id)
        entry_hash = _hash64(f"{node_id} {entry}")
        self._sums[node_id] ^= entry_hash
        self._buckets[self._places[node_id] % len(self._buckets)] ^= entry_hash

    def _enter(self, node_id: str) -> None:
        if node_id not in self._places:
            self._places[node_id] = place_of(node_id)
            self._sums[node_id] = 0
            insort(self._order, node_id)

    def _leave(self, node_id: str) -> None:
        """Nothing is held of the node any more, unless something is."""
        if node_id in self._places and node_id not in self._records and node_id not in self._deaths:
            del self._places[node_id], self._sums[node_id]
            del self._order[bisect_left(self._order, node_id)]


def _order(record: Record) -> tuple[int, int]:
    return record.incarnation, record.sequence
