"""Limits agree with each other: what one machine allows, the next has room for."""

import msgspec
import pytest

from zmesh.config import limits
from zmesh.config.gateway import GatewayConfig
from zmesh.config.limits import DispatchLimits, MembershipLimits, RoutingLimits, WireLimits

ALL = [
    value
    for value in vars(limits).values()
    if isinstance(value, type) and issubclass(value, msgspec.Struct) and value is not msgspec.Struct
]

wire, membership, routing, dispatch = WireLimits(), MembershipLimits(), RoutingLimits(), DispatchLimits()


def test_all_are_here() -> None:
    assert {WireLimits, MembershipLimits, RoutingLimits, DispatchLimits} <= set(ALL)


@pytest.mark.parametrize("struct", ALL, ids=lambda struct: struct.__name__)
def test_every_limit_is_a_positive_number_by_name(struct: type[msgspec.Struct]) -> None:
    with pytest.raises(TypeError):
        struct(1)
    for name, value in msgspec.structs.asdict(struct()).items():
        assert value > 0, name
    with pytest.raises(AttributeError):
        setattr(struct(), struct.__struct_fields__[0], 1)


def test_what_is_sent_fits_what_is_read() -> None:
    assert wire.record_bytes_max * 2 + membership.replica_part_bytes_max < wire.header_bytes_max
    assert membership.delta_bytes_max + 100 * membership.sync_claims_max < wire.header_bytes_max
    assert 100 * (membership.sync_versions_max + membership.sync_claims_max) < wire.header_bytes_max
    assert wire.record_bytes_max < membership.delta_bytes_max
    assert GatewayConfig().body_bytes_max <= wire.body_bytes_max
    assert wire.inline_body_bytes_max < wire.body_bytes_max
    assert wire.body_bytes_max <= dispatch.queue_bytes_max


def test_what_is_remembered_outlives_what_is_late() -> None:
    assert membership.memory_of_dead_s > membership.load_age_max_s
    assert dispatch.asker_horizon_s >= routing.timeout_max_s
    assert dispatch.result_memory_s > routing.silence_ms_max / 1000 + routing.connect_timeout_s
    assert dispatch.execution_memory_s > dispatch.result_memory_s
    assert dispatch.asker_route_idle_s > routing.peer_idle_s


def test_silence_is_more_than_one_lost_beat() -> None:
    assert routing.silence_ms_max / 1000 > 2 * dispatch.beat_interval_s


def test_a_mesh_at_the_edge_does_not_flap() -> None:
    assert membership.full_mesh_return < membership.full_mesh_max
    assert membership.overlay_ring < membership.overlay_degree < membership.full_mesh_return
