"""This node's own records: the only place that writes, numbers and signs them. Decides when load is worth telling."""

from __future__ import annotations

from zmesh.config.limits import MembershipLimits
from zmesh.errors import LocalProtocolError, RemoteProtocolError
from zmesh.membership.identity import Credentials, Identity
from zmesh.membership.load import Report, is_material
from zmesh.membership.members import Members
from zmesh.membership.table import Stored, Table
from zmesh.wire.record import (
    Advertisement,
    Capabilities,
    Departure,
    Load,
    Record,
    ServiceOffer,
    decode_record,
    encode_record,
)

__all__ = ["Author"]


class Author:
    """Writes this node's records into the table; publishing them is not its business."""

    def __init__(
        self,
        identity: Identity,
        members: Members,
        table: Table,
        credentials: Credentials,
        limits: MembershipLimits,
    ) -> None:
        self._identity = identity
        self._members = members
        self._table = table
        self._credentials = credentials
        self._limits = limits
        self._sequence = 0
        self._services: tuple[ServiceOffer, ...] = ()
        self._capabilities = Capabilities()
        self._draining = False
        self._unready: tuple[str, ...] = ()
        self._report: Report | None = None
        self._told: Report | None = None
        self._told_at = float("-inf")

    # What it offers.

    def advertise(
        self,
        services: tuple[ServiceOffer, ...],
        capabilities: Capabilities,
        draining: bool,
        now: float,
        unready: tuple[str, ...] = (),
    ) -> bool:
        """A new advertisement if it differs from the last; whether it did.

        Raises LocalProtocolError, and the last one stands, when it is too large or breaks a bound of its fields.
        """
        said = (self._services, self._capabilities, self._draining, self._unready)
        if said == (services, capabilities, draining, unready):
            return False
        self._write(self._advertisement(services, capabilities, draining, unready), now)
        self._services, self._capabilities, self._draining, self._unready = services, capabilities, draining, unready
        return True

    def reissue(self, now: float) -> None:
        """Advertise the same at the present incarnation: the record carries a refutation to whoever missed it."""
        self._write(self._advertisement(self._services, self._capabilities, self._draining, self._unready), now)

    def _advertisement(
        self,
        services: tuple[ServiceOffer, ...],
        capabilities: Capabilities,
        draining: bool,
        unready: tuple[str, ...],
    ) -> Advertisement:
        own = self._members.own
        return Advertisement(
            node_id=own.node_id,
            instance=own.instance,
            incarnation=own.incarnation,
            sequence=self._next_sequence(),
            request_address=self._identity.request_address,
            gossip_address=self._identity.gossip_address,
            services=services,
            capabilities=capabilities,
            draining=draining,
            version=self._identity.version,
            http_port=self._identity.http_port,
            unready=unready,
        )

    # How busy it is.

    def report(self, report: Report) -> None:
        """How busy this node is now; told when its time has come, the newest only."""
        self._report = report

    def next_load(self) -> float:
        """When ``tell_load`` would tell something; infinite when there is nothing to tell."""
        if self._report is None:
            return float("inf")
        pace_s = max(self._limits.load_interval_min_s, self._members.here_count / 50.0)
        if self._told is None or is_material(self._told, self._report):
            return self._told_at + pace_s
        # Unchanged load is told again before it is too old to be believed.
        return self._told_at + max(pace_s, self._limits.load_age_max_s / 2.0)

    def tell_load(self, now: float) -> bool:
        """A new load record if it is time for one; whether it was."""
        if self._report is None or self.next_load() > now:
            return False
        own, report = self._members.own, self._report
        self._write(
            Load(
                node_id=own.node_id,
                instance=own.instance,
                incarnation=own.incarnation,
                sequence=self._next_sequence(),
                services=report.services,
                cpu_percent=report.cpu_percent,
                memory_percent=report.memory_percent,
                gpus=report.gpus,
            ),
            now,
        )
        self._told, self._told_at = report, now
        return True

    # That it goes.

    def depart(self, now: float) -> None:
        """The last record."""
        own = self._members.own
        self._report = None
        self._write(Departure(own.node_id, own.instance, own.incarnation, self._next_sequence()), now)

    def records(self) -> list[Stored]:
        """Its own records as they stand."""
        return self._table.of(self._members.own.node_id)

    def _next_sequence(self) -> int:
        self._sequence += 1
        return self._sequence

    def _write(self, record: Record, now: float) -> None:
        payload = encode_record(record)
        try:
            decode_record(payload)  # as others will
        except RemoteProtocolError as error:
            raise LocalProtocolError(str(error)) from None
        self._table.store(Stored(record, payload, self._credentials.sign(payload), now))
