"""PROTOCOL.md says what the code does: kinds, topics, fields, bounds and dialects are read from its tables."""

import re
from enum import IntEnum
from pathlib import Path

import msgspec
import pytest
from msgspec import inspect

from zmesh.config import limits
from zmesh.config.limits import WireLimits
from zmesh.routing.verdict import VERDICTS
from zmesh.wire import dialect, event, membership, record, request
from zmesh.wire.field import NodeId, ServiceName
from zmesh.wire.frame import RUNNER_VERSION, VERSION, Dialect, body_bytes_max, header_type
from zmesh.wire.kind import Kind, Topic
from zmesh.wire.membership import RecordKind, State, Verdict
from zmesh.wire.request import Outcome, Reason

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "PROTOCOL.md").read_text(encoding="utf-8")
STRUCTS: dict[str, type[msgspec.Struct]] = {
    name: value
    for module in (event, membership, record, request)
    for name, value in vars(module).items()
    if isinstance(value, type) and issubclass(value, msgspec.Struct) and not name.startswith("_")
}
ENUMS: tuple[type[IntEnum], ...] = (Outcome, Reason, Verdict, State, RecordKind)
PATTERNS = {
    inspect.type_info(NodeId).pattern: "node-id",  # type: ignore[attr-defined]
    inspect.type_info(ServiceName).pattern: "service-name",  # type: ignore[attr-defined]
}


def rows_after(heading: str) -> list[list[str]]:
    """Cells of the first table behind a heading, without its head."""
    assert PAGE.count(f"\n{heading}\n") == 1, heading
    section = PAGE.split(f"\n{heading}\n", 1)[1]
    section = re.sub(r"```.*?```", "", re.split(r"\n#+ ", section, maxsplit=1)[0], flags=re.DOTALL)
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip().strip("`") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


def heading_with(words: str) -> str:
    found = [line for line in PAGE.splitlines() if re.fullmatch(rf"#+ [\d.]* ?{re.escape(words)}", line)]
    assert len(found) == 1, f"{words}: {found}"
    return found[0]


def type_name(kind: inspect.Type) -> str:
    """A field's type as section 1.3 writes it."""
    match kind:
        case inspect.IntType():
            return {(0, None): "u64", (0, 2**32 - 1): "u32"}.get((kind.ge, kind.le), f"int {kind.ge}..{kind.le}")
        case inspect.StrType():
            return PATTERNS[kind.pattern] if kind.pattern else f"str({kind.max_length})"
        case inspect.BytesType(max_length=length):
            return f"bin({length})"
        case inspect.EnumType(cls=cls) | inspect.StructType(cls=cls):
            return str(cls.__name__)
        case (
            inspect.VarTupleType(item_type=item, max_length=length, min_length=least)
            | inspect.ListType(item_type=item, max_length=length, min_length=least)
        ):
            return f"list({least or 0}..{length}) of {type_name(item)}"
        case inspect.DictType(key_type=key, value_type=value, max_length=length):
            return f"map(0..{length}) of {type_name(key)} to {type_name(value)}"
        case inspect.TupleType(item_types=items):
            return f"({', '.join(type_name(item) for item in items)})"
        case _:
            return {inspect.BoolType: "bool", inspect.FloatType: "float"}[type(kind)]


def fields_of(struct: type[msgspec.Struct]) -> list[tuple[str, str, str]]:
    """Name, type and presence of each field in the order of the wire."""
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    return [(field.encode_name, type_name(field.type), "yes" if field.required else "no") for field in info.fields]


def test_sections_that_code_cites_are_there() -> None:
    headings = set(re.findall(r"^#+ ([\d.]+) ", PAGE, flags=re.MULTILINE))
    for path in sorted((ROOT / "zmesh").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        for first, second in re.findall(r"PROTOCOL,? sections? ([\d.]*\d)(?: (?:and|to) ([\d.]*\d))?", text):
            assert {first, second or first} <= headings, f"{path.relative_to(ROOT)} cites section {first} {second}"


def test_settings_that_the_page_names_are_there() -> None:
    known = {
        field.name
        for struct in vars(limits).values()
        if isinstance(struct, type) and issubclass(struct, msgspec.Struct)
        for field in msgspec.structs.fields(struct)
    }
    named = set(re.findall(r"`([a-z0-9_]+_(?:s|ms|max|share|min|probes))`", PAGE))
    fields = {field for struct in (*STRUCTS.values(), *map(header_type, Kind)) for field in struct.__struct_fields__}
    assert named <= known | fields


def test_versions() -> None:
    versions = {row[0]: row[1] for row in rows_after(heading_with("Versions"))}
    assert versions == {"mesh": str(VERSION), "runner.ipc": str(RUNNER_VERSION)}


def test_limits() -> None:
    stated = {row[0]: int(row[1]) for row in rows_after(heading_with("Limits"))}
    assert stated == msgspec.structs.asdict(WireLimits())


def test_kinds() -> None:
    rows = rows_after(heading_with("Kinds"))
    assert {row[1]: int(row[0]) for row in rows if row[1] != "reserved"} == {kind.name: kind.value for kind in Kind}
    for number, name, body, *_ in rows:
        if name != "reserved":
            expected = {0: "none", 65_536: "inline", 67_108_864: "any"}[body_bytes_max(Kind(int(number)))]
            assert body == expected, name


def test_reserved_numbers_are_not_in_use() -> None:
    for number, name, *_ in rows_after(heading_with("Kinds")):
        if name == "reserved":
            first, _, last = number.partition("-")
            assert not set(range(int(first), int(last or first) + 1)) & set(Kind)


def test_topics() -> None:
    assert {row[1]: int(row[0]) for row in rows_after(heading_with("Topics"))} == {
        topic.name: topic.value for topic in Topic
    }


@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.name)
def test_the_fields_of_each_kind(kind: Kind) -> None:
    rows = rows_after(heading_with(f"{kind.name} ({kind.value})"))
    assert [tuple(row[:3]) for row in rows] == fields_of(header_type(kind))


@pytest.mark.parametrize(
    "name", ["SignedRecord", "Advertisement", "ServiceOffer", "Capabilities", "Gpu", "Load", "ServiceLoad", "Departure"]
)
def test_the_fields_of_records(name: str) -> None:
    assert [tuple(row[:3]) for row in rows_after(heading_with(name))] == fields_of(STRUCTS[name])


@pytest.mark.parametrize("name", ["Claim", "Version", "MemberView"])
def test_the_fields_of_parts(name: str) -> None:
    assert [tuple(row[:3]) for row in rows_after(heading_with(name))] == fields_of(STRUCTS[name])


@pytest.mark.parametrize("name", ["member", "service", "request", "socket", "log"])
def test_the_fields_of_events(name: str) -> None:
    rows = rows_after(heading_with(f"event {name}"))
    assert [tuple(row[:3]) for row in rows] == fields_of(STRUCTS[f"{name.title()}Event"])


@pytest.mark.parametrize("numbers", ENUMS, ids=lambda numbers: numbers.__name__)
def test_enumerations(numbers: type[IntEnum]) -> None:
    rows = rows_after(heading_with(numbers.__name__))
    assert {row[1]: int(row[0]) for row in rows} == {member.name: member.value for member in numbers}


def test_what_an_outcome_says_of_execution() -> None:
    """What the router makes of an outcome is what the page promises."""
    promised = {row[1]: row[2] for row in rows_after(heading_with("Outcome"))}
    assert promised == {outcome.name: str(executed) for outcome, (_, executed) in VERDICTS.items()}


def test_dialects() -> None:
    expected = {
        name: {kind.name for kind in value.kinds} for name, value in vars(dialect).items() if isinstance(value, Dialect)
    }
    rows = rows_after(heading_with("Who may say what"))
    assert {row[0]: set(row[3].replace("`", "").split(", ")) for row in rows} == expected
