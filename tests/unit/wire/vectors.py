"""Golden byte vectors: what this version writes, and what it must still read. Rewritten by

    python -m tests.unit.wire.vectors

which is for a change of the wire that is meant: the difference then shows in review, byte for byte. A vector whose
bytes changed although old ones are still promised (PROTOCOL section 9) first moves to ``accepted.txt``, which is
written by hand and lists frames with the name of the example that they must decode to.

A file has one vector a paragraph: its name and kind, then its bytes in hexadecimal; ``#`` begins a comment.
"""

from pathlib import Path
from typing import NamedTuple

from tests.unit.wire.examples import EVENTS, MESSAGES, RECORDS
from zmesh.wire.event import encode_event
from zmesh.wire.record import encode_record

GOLDEN = Path(__file__).parent / "golden"
BYTES_A_LINE = 48


class Vector(NamedTuple):
    name: str
    kind: str
    data: bytes


def read(name: str) -> dict[str, Vector]:
    """The vectors of one golden file by their names."""
    vectors: dict[str, Vector] = {}
    for paragraph in (GOLDEN / name).read_text(encoding="utf-8").split("\n\n"):
        lines = [line for line in paragraph.splitlines() if line and not line.startswith("#")]
        if lines:
            title, kind = lines[0].split()
            assert title not in vectors, f"two vectors named {title}"
            vectors[title] = Vector(title, kind, bytes.fromhex("".join(lines[1:])))
    return vectors


def written() -> dict[str, list[Vector]]:
    """What this version writes, by golden file."""
    return {
        "messages.txt": [
            Vector(name, message.kind.name, b"".join(message.frames())) for name, message in MESSAGES.items()
        ],
        "records.txt": [Vector(name, type(record).__name__, encode_record(record)) for name, record in RECORDS.items()],
        "events.txt": [Vector(name, type(event).__name__, encode_event(event)) for name, event in EVENTS.items()],
    }


def rewrite() -> None:
    for name, vectors in written().items():
        paragraphs = ["# Written by python -m tests.unit.wire.vectors from tests/unit/wire/examples.py."]
        for vector in vectors:
            lines = [vector.data[at : at + BYTES_A_LINE].hex() for at in range(0, len(vector.data), BYTES_A_LINE)]
            paragraphs.append("\n".join([f"{vector.name} {vector.kind}", *lines]))
        (GOLDEN / name).write_text("\n\n".join(paragraphs) + "\n", encoding="utf-8")


if __name__ == "__main__":
    rewrite()
