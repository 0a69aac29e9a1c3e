"""The mesh as this worker sees it: its members, its services, its entry points."""

from __future__ import annotations

import falcon.asgi
from msgspec import Struct

from zmesh.gateway.box import Box, CapabilitiesView, capabilities_view, http_url
from zmesh.gateway.http import Request, render
from zmesh.membership.replica import ReplicaMember
from zmesh.wire.membership import State

__all__ = ["EntryPointsResource", "MembersResource", "ServicesResource"]


class MemberDocument(Struct, frozen=True):
    """One box."""

    node_id: str
    state: str
    instance: str
    incarnation: int
    address: str
    """``IP:PORT`` of its request socket; empty before its advertisement came."""
    services: list[str]
    draining: bool
    version: str
    rtt_ms: float | None
    """Of the last probe; null for this box and before the first."""
    capabilities: CapabilitiesView
    entrypoint: str | None


class OwnerDocument(Struct, frozen=True):
    """One box that offers a service."""

    node_id: str
    state: str
    slots: int
    queued: int
    running: int
    draining: bool


class ServiceDocument(Struct, frozen=True):
    """One service and where it is."""

    name: str
    description: str
    content_types: list[str]
    nodes: list[OwnerDocument]


class MembersResource:
    """``GET /mesh/members``."""

    def __init__(self, box: Box) -> None:
        self._box = box

    async def on_get(self, _req: Request, resp: falcon.asgi.Response) -> None:
        """Every box, the dead that are still remembered included."""
        members = sorted(self._box.members.values(), key=lambda member: member.node_id)
        render(resp, {"members": [_member(member) for member in members]})


class ServicesResource:
    """``GET /mesh/services``."""

    def __init__(self, box: Box) -> None:
        self._box = box

    async def on_get(self, _req: Request, resp: falcon.asgi.Response) -> None:
        """Every service with the boxes that offer it and are not dead."""
        render(resp, {"services": services_of(self._box)})


class EntryPointsResource:
    """``GET /mesh/entrypoints``."""

    def __init__(self, box: Box) -> None:
        self._box = box

    async def on_get(self, _req: Request, resp: falcon.asgi.Response) -> None:
        """URLs of the boxes that take HTTP now."""
        urls = [http_url(member) for member in self._box.members.values() if member.is_eligible]
        render(resp, {"entrypoints": sorted({url for url in urls if url})})


def services_of(box: Box) -> list[ServiceDocument]:
    """Every service offered by a box that is not dead, in the order of names."""
    nodes: dict[str, list[OwnerDocument]] = {}
    words: dict[str, tuple[str, list[str]]] = {}
    for member in sorted(box.members.values(), key=lambda member: member.node_id):
        if member.advertisement is None or member.state >= State.DEAD:
            continue
        loads = {load.name: load for load in member.load.services} if member.load else {}
        for offer in member.advertisement.services:
            load = loads.get(offer.name)
            owner = OwnerDocument(
                node_id=member.node_id,
                state=member.state.name.lower(),
                slots=offer.slots,
                queued=load.queued if load else 0,
                running=load.running if load else 0,
                draining=member.advertisement.draining,
            )
            nodes.setdefault(offer.name, []).append(owner)
            words.setdefault(offer.name, (offer.description, list(offer.content_types)))
    return [ServiceDocument(name, *words[name], nodes[name]) for name in sorted(nodes)]


def _member(member: ReplicaMember) -> MemberDocument:
    advertisement = member.advertisement
    return MemberDocument(
        node_id=member.node_id,
        state=member.state.name.lower(),
        instance=f"{member.instance:016x}",
        incarnation=member.incarnation,
        address=advertisement.request_address if advertisement else "",
        services=[offer.name for offer in advertisement.services] if advertisement else [],
        draining=advertisement.draining if advertisement else False,
        version=advertisement.version if advertisement else "",
        rtt_ms=member.rtt_us / 1000 if member.rtt_us else None,
        capabilities=capabilities_view(advertisement),
        entrypoint=http_url(member),
    )
