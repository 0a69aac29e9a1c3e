"""What others see of the table."""

from tests.unit.membership.parts import advertisement, claim, load, meet, members, table
from zmesh.membership.paths import Path
from zmesh.membership.view import comparable, view_of
from zmesh.wire.membership import State
from zmesh.wire.record import encode_record


def test_a_view_shows_state_records_and_round_trip() -> None:
    found = members("b")
    member = found.get("b")
    assert member is not None
    member.paths.answered(Path.VPN, 0.0015)
    view = view_of(member, table(advertisement("b"), load("b")), 2.0)
    assert view.advertisement == encode_record(advertisement("b"))
    assert view.load == encode_record(load("b"))
    assert (view.state, view.load_age_ms, view.rtt_us) == (State.ALIVE, 2000, 1500)


def test_what_an_earlier_instance_said_does_not_count() -> None:
    found = members("b")
    held = table(advertisement("b"), load("b"))
    meet(found, "b", instance=0x99, incarnation=2)
    member = found.get("b")
    assert member is not None
    view = view_of(member, held, 0.0)
    assert (view.instance, view.advertisement, view.load, view.load_age_ms) == (0x99, b"", b"", 0)


def test_tables_compare_equal_whatever_the_order_of_events() -> None:
    held = table(advertisement("b"), advertisement("c"))
    one, other = members("b", "c"), members("c", "b")
    assert comparable(one, held) == comparable(other, held)
    one.apply(claim("b", State.SUSPECT), 0.0)
    assert comparable(one, held) != comparable(other, held)
    other.apply(claim("b", State.SUSPECT, accuser="y"), 5.0)
    assert comparable(one, held) == comparable(other, held)
    assert comparable(one, held) != comparable(one, table(advertisement("b")))
