"""What a node says of itself and its mesh when the command line or a gateway asks: the verbs of control.ipc.

Reads the machines; changes nothing but its own counts.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict

from zmesh import __version__
from zmesh.config.limits import MembershipLimits
from zmesh.dispatch.event import RequestEnded
from zmesh.node.control import Verb
from zmesh.wire.event import MemberView
from zmesh.wire.membership import State
from zmesh.wire.record import Advertisement, Load, ServiceLoad, decode_record

if TYPE_CHECKING:
    from zmesh.node.node import Node

__all__ = ["Report"]


class Report:
    """Answers about one node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._loop = asyncio.get_running_loop()
        self._started_at = self._loop.time()
        self._ended: Counter[str] = Counter()
        self._disbelieved: set[str] = set()
        self._disbelieved_total = 0
        self.phase = "starting"
        """starting, ready or draining."""

    @property
    def verbs(self) -> Mapping[str, Verb]:
        """The questions and what answers them."""
        return {
            "status": self.status,
            "members": self.members,
            "services": self.services,
            "figures": self.figures,
        }

    def count(self, ended: RequestEnded) -> None:
        """A request has its end here."""
        self._ended[ended.outcome.name.lower()] += 1

    def disbelieve(self, sender: str, count: int) -> bool:
        """So many records of ``sender`` were refused; whether it is the first time, and worth a line."""
        self._disbelieved_total += count
        if sender in self._disbelieved or len(self._disbelieved) >= MembershipLimits().members_max:
            return False
        self._disbelieved.add(sender)
        return True

    def status(self) -> dict[str, Any]:
        """This box in one screen."""
        peer, launcher = self._node.peer, self._node.launcher
        return {
            "node_id": peer.identity.node_id,
            "version": __version__,
            "state": self.phase,
            "uptime_s": round(self._loop.time() - self._started_at, 1),
            "address": peer.identity.request_address,
            "incarnation": peer.members.own.incarnation,
            "members": self._state_counts(),
            "refusals": peer.refusals,
            "services": [name for name, _slots, _types in self._node.dispatcher.offers()],
            "runners": [
                {"service": r.service, "replica": r.replica, "state": r.state.value, "pid": r.pid, "detail": r.detail}
                for r in (launcher.states() if launcher is not None else ())
            ],
        }

    def members(self) -> dict[str, Any]:
        """Every member, this node first, the others by id."""
        own_id = self._node.peer.identity.node_id
        lines = [_member_line(view, own_id) for view in self._views()]
        return {"members": sorted(lines, key=lambda line: not line["self"])}

    def services(self) -> dict[str, Any]:
        """Every service of the mesh, the nodes that offer it and how busy they are there."""
        nodes: dict[str, list[dict[str, Any]]] = {}
        for view in self._views():
            record, loads = _advertisement(view), _loads(view)
            for offer in record.services if record is not None else ():
                load = loads.get(offer.name, ServiceLoad(offer.name))
                nodes.setdefault(offer.name, []).append(
                    {
                        "node_id": view.node_id,
                        "state": view.state.name.lower(),
                        "slots": offer.slots,
                        "running": load.running,
                        "queued": load.queued,
                    }
                )
        return {"services": [{"name": name, "nodes": nodes[name]} for name in sorted(nodes)]}

    def figures(self) -> dict[str, float | dict[str, float]]:
        """The node's part of GET /metrics: gauges by metric name and label set."""
        node = self._node
        loads = node.dispatcher.loads()
        oddities = asdict(node.dispatcher.counters)
        return {
            "zmesh_members": {f'state="{state}"': count for state, count in self._state_counts().items()},
            "zmesh_node_uptime_seconds": self._loop.time() - self._started_at,
            "zmesh_node_local_health": node.peer.health,
            "zmesh_queue_depth": {f'service="{load.name}"': load.queued for load in loads},
            "zmesh_requests_running": {f'service="{load.name}"': load.running for load in loads},
            "zmesh_requests_ended_total": {f'outcome="{outcome}"': count for outcome, count in self._ended.items()},
            "zmesh_frames_rejected_total": {f'socket="{name}"': count for name, count in self._rejected().items()},
            "zmesh_records_refused_total": self._disbelieved_total,
            "zmesh_dispatch_total": {f'event="{event}"': count for event, count in oddities.items()},
            "zmesh_publish_overflows_total": {
                f'socket="{publisher.name}"': publisher.overflows
                for publisher in (node.sockets.gossip, node.sockets.events)
            },
        }

    def _rejected(self) -> dict[str, int]:
        sockets = self._node.sockets
        own = (*sockets.routers.values(), sockets.gossip, sockets.events)
        return {socket.name: socket.rejected for socket in own} | self._node.peers.rejected

    def _views(self) -> list[MemberView]:
        return self._node.peer.views(self._loop.time())

    def _state_counts(self) -> dict[str, int]:
        counts = Counter(member.state for member in self._node.peer.members)
        return {state.name.lower(): counts[state] for state in State}


def _member_line(view: MemberView, own_id: str) -> dict[str, Any]:
    record = _advertisement(view)
    return {
        "node_id": view.node_id,
        "self": view.node_id == own_id,
        "state": view.state.name.lower(),
        "address": record.request_address if record else "",
        "instance": f"{view.instance:016x}",
        "incarnation": view.incarnation,
        "rtt_ms": view.rtt_us / 1000 if view.rtt_us else None,
        "draining": bool(record and record.draining),
        "services": [offer.name for offer in record.services] if record else [],
        "version": record.version if record else "",
    }


def _advertisement(view: MemberView) -> Advertisement | None:
    record = decode_record(view.advertisement) if view.advertisement else None
    return record if isinstance(record, Advertisement) else None


def _loads(view: MemberView) -> dict[str, ServiceLoad]:
    record = decode_record(view.load) if view.load else None
    return {load.name: load for load in record.services} if isinstance(record, Load) else {}
