"""Bounds of fields, and text cut to them."""

import msgspec
import pytest

from zmesh.wire import field
from zmesh.wire.field import NAME_MAX, SHORT_MAX, TEXT_MAX, clip


def accepts(value: object, annotation: object) -> bool:
    try:
        msgspec.msgpack.decode(msgspec.msgpack.encode(value), type=annotation)
    except msgspec.ValidationError:
        return False
    return True


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        (field.U32, [0, 2**32 - 1], [-1, 2**32, 1.0, "1", None, True]),
        (field.U64, [0, 2**63, 2**64 - 1], [-1, -(2**63), 1.5, "1", None]),
        (field.Name, ["", "n" * 63, "é" * 63], ["n" * 64, 1, b"n"]),
        (field.Short, ["s" * 255], ["s" * 256]),
        (field.Text, ["t" * 4096], ["t" * 4097]),
        (field.NodeId, ["a", "Gpu-1.lan_x", "9" * 63], ["", "-a", ".a", "a b", "a\n", "a/b", "é", "a" * 64, "a\0"]),
        (field.ServiceName, ["a", "vision-ocr", "0" * 63], ["", "-a", "A", "a_b", "a.b", "a\n", "a" * 64]),
    ],
)
def test_bounds(annotation: object, good: list[object], bad: list[object]) -> None:
    assert [value for value in good if not accepts(value, annotation)] == []
    assert [value for value in bad if accepts(value, annotation)] == []


@pytest.mark.parametrize("length", [NAME_MAX, SHORT_MAX, TEXT_MAX])
def test_clipped_text_is_what_a_field_takes(length: int) -> None:
    assert clip("a" * length, length) == "a" * length
    assert clip("é" * (length + 1), length) == "é" * length
    assert clip("a" * length + "\udcff", length) == "a" * length


def test_lone_surrogates_become_question_marks() -> None:
    assert clip("bad \udcff byte") == "bad ? byte"
    assert len(clip("\ud800" * 5_000)) == TEXT_MAX
