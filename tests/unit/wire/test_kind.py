"""Numbers of kinds and topics: one byte, in the ranges that PROTOCOL gives to each family."""

from zmesh.wire.kind import Kind, Topic


def test_numbers_fit_their_byte_and_none_is_given_twice() -> None:
    for numbers in (Kind, Topic):
        values = [member.value for member in numbers.__members__.values()]
        assert len(values) == len(set(values))
        assert all(0 <= value < 128 for value in values)
    assert 0 not in {kind.value for kind in Kind}
    assert Topic.NONE == 0


def test_families_keep_to_their_ranges() -> None:
    family = {kind.name: kind // 16 for kind in Kind}
    assert {family[name] for name in ("REQUEST", "REPLY", "CREDIT")} == {0}
    assert {family[name] for name in ("READY", "ATTACHED", "STOP", "STOPPED")} == {1}
    assert {number for name, number in family.items() if name.startswith("REPLICA")} == {4}
    assert family["EVENT"] == 5
    assert {number for name, number in family.items() if name.startswith("CONTROL")} == {6}
    assert {topic // 16 for topic in (Topic.GOSSIP, Topic.REPLICA)} == {0}
    assert {topic // 16 for topic in Topic if topic > Topic.REPLICA} == {1}
