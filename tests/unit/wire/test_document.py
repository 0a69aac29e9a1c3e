"""Documents inside messages: what is too large, cannot be written or is none is refused with words that name it."""

import msgspec
import pytest

from zmesh.errors import LocalProtocolError, RemoteProtocolError
from zmesh.wire.document import Document


class Note(msgspec.Struct):
    text: str


NOTES: Document[Note] = Document("note", Note, 16)
LARGEST = Note("x" * 8)


def test_a_document_reads_as_written_up_to_the_bound() -> None:
    payload = NOTES.encode(LARGEST)
    assert len(payload) == 15
    assert NOTES.decode(payload) == LARGEST
    assert NOTES.decode(memoryview(payload)) == LARGEST


def test_what_cannot_be_sent_is_this_sides_fault() -> None:
    assert len(NOTES.encode(Note("x" * 9))) == 16
    with pytest.raises(LocalProtocolError, match="Note of 17 bytes is over 16"):
        NOTES.encode(Note("x" * 10))
    with pytest.raises(LocalProtocolError, match="Note cannot be written: "):
        NOTES.encode(Note("\ud800"))


def test_what_is_none_is_the_other_sides_fault() -> None:
    assert NOTES.decode(NOTES.encode(Note("x" * 9))) == Note("x" * 9)
    with pytest.raises(RemoteProtocolError, match="note of 17 bytes is over 16"):
        NOTES.decode(b"\x81\xa4text\xaa" + b"x" * 10)
    for payload in (b"", b"\xc1", b"\x81\xa4text\xa1\xff"):
        with pytest.raises(RemoteProtocolError, match="note: "):
            NOTES.decode(payload)
    with pytest.raises(RemoteProtocolError, match="note: Expected `str`, got `int`"):
        NOTES.decode(b"\x81\xa4text\x01")
