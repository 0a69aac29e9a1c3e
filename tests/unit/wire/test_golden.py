"""The bytes on the wire are the golden ones, both ways; every kind, record and event is among them."""

from pathlib import Path

import msgspec
import pytest

from tests.unit.wire import vectors
from tests.unit.wire.examples import EVENTS, MESSAGES, RECORDS
from zmesh.wire import dialect
from zmesh.wire.event import decode_event
from zmesh.wire.frame import PREFIX, VERSION, Dialect, decode, header_type
from zmesh.wire.kind import Kind
from zmesh.wire.record import decode_record

ANY = Dialect(frozenset({VERSION}), frozenset(Kind))


@pytest.mark.parametrize("name", ["messages.txt", "records.txt", "events.txt"])
def test_this_version_writes_the_golden_bytes(name: str) -> None:
    assert {vector.name: vector for vector in vectors.written()[name]} == vectors.read(name), (
        "the wire has changed; when that is meant: python -m tests.unit.wire.vectors"
    )


@pytest.mark.parametrize("vector", vectors.read("messages.txt").values(), ids=lambda vector: vector.name)
def test_golden_messages_read_as_what_was_written(vector: vectors.Vector) -> None:
    message = MESSAGES[vector.name]
    assert decode([vector.data], ANY) == (message.header, message.body)
    version, kind, topic, reserved, _ = PREFIX.unpack_from(vector.data)
    assert (version, kind, topic, reserved) == (VERSION, message.kind, message.topic, 0)


@pytest.mark.parametrize("vector", vectors.read("accepted.txt").values(), ids=lambda vector: vector.name)
def test_shorter_and_longer_headers_are_read(vector: vectors.Vector) -> None:
    message = MESSAGES[vector.name.split(":")[0]]
    assert (Kind[vector.kind], decode([vector.data], ANY)) == (message.kind, (message.header, message.body))


def test_golden_records_and_events_read_as_what_was_written() -> None:
    for vector in vectors.read("records.txt").values():
        assert decode_record(vector.data) == RECORDS[vector.name]
    for vector in vectors.read("events.txt").values():
        assert decode_event(vector.data) == EVENTS[vector.name]


def test_every_kind_has_a_header_a_vector_and_a_socket() -> None:
    spoken = {kind for value in vars(dialect).values() if isinstance(value, Dialect) for kind in value.kinds}
    assert {message.kind for message in MESSAGES.values()} == set(Kind) == spoken
    for message in MESSAGES.values():
        assert type(message.header) is header_type(message.kind)


def test_each_field_is_at_some_value_of_its_own_in_a_vector() -> None:
    """A field that stands at its default in all vectors could change its place unseen."""
    seen: set[tuple[str, str]] = set()
    all_fields: set[tuple[str, str]] = set()

    def visit(value: object) -> None:
        if isinstance(value, msgspec.Struct):
            for field in msgspec.structs.fields(value):
                key = (type(value).__name__, field.name)
                all_fields.add(key)
                if field.required or getattr(value, field.name) != field.default:
                    seen.add(key)
                visit(getattr(value, field.name))
        elif isinstance(value, tuple):
            for item in value:
                visit(item)

    for message in MESSAGES.values():
        visit(message.header)
    for value in (*RECORDS.values(), *EVENTS.values()):
        visit(value)
    assert all_fields - seen == set()


def test_rewriting_changes_nothing_but_what_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {name: (vectors.GOLDEN / name).read_text(encoding="utf-8") for name in vectors.written()}
    monkeypatch.setattr(vectors, "GOLDEN", tmp_path)
    vectors.rewrite()
    assert {name: (vectors.GOLDEN / name).read_text(encoding="utf-8") for name in kept} == kept
