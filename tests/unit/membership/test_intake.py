"""What is believed of records that come in, and in which order the checks are made."""

from __future__ import annotations

import msgspec
import pytest

from tests.unit.membership.parts import INSTANCE, LIMITS, advertisement, claim, departure, load, members, signed, table
from zmesh.membership.event import Rejected
from zmesh.membership.identity import UNSIGNED
from zmesh.membership.intake import REJECTIONS_MAX, Intake
from zmesh.membership.members import INCARNATION_MAX, Members
from zmesh.membership.table import Table
from zmesh.wire.membership import RecordKind, State
from zmesh.wire.record import Record, SignedRecord


class Checked:
    """Counts signature checks; believes what is signed ``ok``."""

    def __init__(self) -> None:
        self.checks = 0
        self.checked: list[tuple[str, bytes]] = []
        self.credentials = UNSIGNED._replace(verify=self.verify)

    def verify(self, node_id: str, payload: bytes, signature: bytes) -> bool:
        self.checks += 1
        self.checked.append((node_id, payload))
        return signature == b"ok"


def intake(found: Members | None = None, held: Table | None = None, checked: Checked | None = None) -> Intake:
    credentials = checked.credentials if checked else UNSIGNED
    return Intake(found or members(), held or table(), credentials, LIMITS)


def take(machine: Intake, *records: Record, age_s: float = 0.0, now: float = 10.0) -> list[Record]:
    return [each.record for each in machine.take([signed(record, age_s=age_s) for record in records], "s", now)]


def test_an_advertisement_makes_its_owner_known() -> None:
    found, held = members(), table()
    machine = intake(found, held)
    assert take(machine, advertisement("b")) == [advertisement("b")]
    member = found.get("b")
    assert member is not None
    assert (member.state, member.request_address) == (State.ALIVE, "10.42.0.2:7400")
    assert held.get("b", RecordKind.ADVERTISEMENT) is not None
    assert take(machine, advertisement("b")) == []


def test_a_duplicate_costs_no_signature_check() -> None:
    checked = Checked()
    machine = intake(checked=checked)
    record = signed(advertisement("b"), signature=b"ok")
    assert len(machine.take([record, record, record], "s", 0.0)) == 1
    assert checked.checks == 1


def test_a_bad_signature_changes_nothing_and_is_reported() -> None:
    found, held = members(), table()
    machine = intake(found, held, Checked())
    assert machine.take([signed(advertisement("b"), signature=b"no")], "mallory", 0.0) == []
    assert found.get("b") is None
    assert held.of("b") == []
    (rejected,) = machine.rejections
    assert rejected.node_id == "mallory"
    assert "signature" in rejected.reason


def test_a_signature_is_checked_over_the_owners_bytes_against_the_owners_key() -> None:
    checked = Checked()
    record = signed(advertisement("b"), signature=b"ok")
    intake(checked=checked).take([record], "c", 0.0)
    assert checked.checked == [("b", record.payload)]


def test_what_is_no_record_is_reported_and_the_rest_is_taken() -> None:
    machine = intake()
    records = [SignedRecord(b"\xc1"), signed(advertisement("b"))]
    assert len(machine.take(records, "mallory", 0.0)) == 1
    (rejected,) = machine.rejections
    assert rejected.node_id == "mallory"
    assert "record" in rejected.reason


def test_rejections_are_bounded() -> None:
    machine = intake()
    for _ in range(REJECTIONS_MAX + 5):
        machine.take([SignedRecord(b"\xc1")] * 3, "mallory", 0.0)
    assert len(machine.rejections) == REJECTIONS_MAX
    assert machine.rejections[0].count == 3


def test_load_is_taken_from_members_only_and_while_it_is_fresh() -> None:
    found = members("b")
    machine = intake(found)
    assert take(machine, load("c")) == []
    assert take(machine, load("b"), age_s=LIMITS.load_age_max_s) == []
    assert take(machine, load("b", sequence=2), age_s=1.0) == [load("b", sequence=2)]


def test_load_at_a_higher_incarnation_is_a_sign_of_life() -> None:
    found = members("b")
    found.apply(claim("b", State.SUSPECT), 0.0)
    assert take(intake(found), load("b", incarnation=2)) != []
    member = found.get("b")
    assert member is not None
    assert (member.state, member.instance, member.incarnation) == (State.ALIVE, INSTANCE["b"], 2)


def test_an_older_record_of_the_dead_is_kept_but_brings_nobody_back() -> None:
    found, held = members(), table()
    found.apply(claim("b", State.DEAD, incarnation=2), 0.0)
    machine = intake(found, held)
    assert take(machine, advertisement("b", incarnation=2)) == [advertisement("b", incarnation=2)]
    member = found.get("b")
    assert member is not None
    assert (member.state, member.request_address) == (State.DEAD, "10.42.0.2:7400")
    assert take(machine, advertisement("b", incarnation=3)) == [advertisement("b", incarnation=3)]
    assert member.state is State.ALIVE


def test_records_of_another_instance_count_only_above_what_is_known() -> None:
    found = members("b")
    machine = intake(found)
    assert take(machine, advertisement("b", instance=0x99)) == []
    assert take(machine, load("b", instance=0x99)) == []
    assert take(machine, departure("b", instance=0x99)) == []
    assert take(machine, advertisement("b", instance=0x99, incarnation=2)) != []
    member = found.get("b")
    assert member is not None
    assert member.instance == 0x99


def test_of_two_starts_at_one_incarnation_the_departed_one_outlives_the_dead_one() -> None:
    found = members("b")
    found.apply(claim("b", State.DEAD, incarnation=2), 0.0)
    found.expire(100.0)
    machine = intake(found)
    assert take(machine, departure("b", instance=0x99, incarnation=1)) == []
    assert take(machine, advertisement("b", instance=0x99, incarnation=2)) == []
    assert take(machine, departure("b", instance=0x99, incarnation=2)) != []
    member = found.get("b")
    assert member is not None
    assert (member.state, member.instance) == (State.LEFT, 0x99)


def test_a_departure_is_final() -> None:
    found, held = members("b"), table(advertisement("b"))
    machine = intake(found, held)
    assert take(machine, departure("b"), age_s=3.0) == [departure("b")]
    member = found.get("b")
    assert member is not None
    assert (member.state, member.changed_at) == (State.LEFT, 7.0)
    assert take(machine, advertisement("b", sequence=99), load("b", sequence=99)) == []
    assert [each.kind for each in held.of("b")] == [RecordKind.DEPARTURE]


def test_a_departure_below_the_known_incarnation_or_long_past_is_late() -> None:
    found = members("b")
    found.apply(claim("b", State.ALIVE, incarnation=3), 0.0)
    machine = intake(found)
    assert take(machine, departure("b", incarnation=2)) == []
    assert take(machine, departure("c"), age_s=LIMITS.memory_of_dead_s) == []
    assert take(machine, departure("c"), age_s=1.0) != []


def test_a_full_table_takes_no_newcomer() -> None:
    limits = msgspec.structs.replace(LIMITS, members_max=2)
    found = members("b", limits=limits)
    machine = Intake(found, table(), UNSIGNED, limits)
    assert take(machine, advertisement("c"), departure("d"), advertisement("b")) == [advertisement("b")]
    assert machine.rejections == [Rejected("s", "the table is full, c does not fit", 2)]


@pytest.mark.parametrize("record", [advertisement("b", incarnation=INCARNATION_MAX + 1), advertisement("a")])
def test_impossible_numbers_and_own_records_are_ignored(record: Record) -> None:
    machine = intake()
    assert take(machine, record) == []
    assert machine.pretender is None


def test_a_nameless_advertisement_is_ignored() -> None:
    assert take(intake(), msgspec.structs.replace(advertisement("b"), node_id="")) == []


def test_a_record_of_an_earlier_start_of_this_node_is_a_pretender() -> None:
    found = members()
    machine = intake(found)
    earlier = advertisement("a", instance=0x99, incarnation=5)
    take(machine, earlier, load("a", instance=0x99, incarnation=5), age_s=1.0)
    assert machine.pretender == earlier
    assert found.own.incarnation == 1


def test_a_pretender_is_one_that_is_not_below_this_node() -> None:
    found = members()
    found.raise_incarnation(4)
    machine = intake(found)
    take(machine, advertisement("a", instance=0x99, incarnation=4))
    assert machine.pretender is None
    take(machine, advertisement("a", instance=0x99, incarnation=5))
    assert machine.pretender == advertisement("a", instance=0x99, incarnation=5)


def test_the_highest_incarnation_of_all_is_believed() -> None:
    machine = intake()
    highest = advertisement("a", instance=0x99, incarnation=INCARNATION_MAX)
    assert take(machine, highest, advertisement("b", incarnation=INCARNATION_MAX)) != []
    assert machine.pretender == highest


def test_a_departure_of_an_earlier_start_is_gone_above() -> None:
    found = members()
    machine = intake(found)
    take(machine, departure("a", instance=0x99, incarnation=5))
    assert found.own.incarnation == 6
    take(machine, departure("a", instance=0x99, incarnation=5))
    assert found.own.incarnation == 6
