"""The project's rules, each a function from one source file to its violations.

They read syntax trees, not running code, and know nothing of pytest: ``test_tidy`` applies them to the checkout,
``test_rules`` proves each on a bad sample. What import-linter can say stands in setup.cfg and is not said again here.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

LINES_MAX = 500
PURE = ("config", "dispatch", "errors", "flow", "membership", "routing", "trust", "wire")
VAGUE_NAMES = frozenset({"common", "helper", "helpers", "manager", "managers", "misc", "util", "utils"})

# The one place that sleeps for a test, and programs under test, whose slowness is what is tested.
SLEEPERS = ("tests/polling.py",)
SLEEPING_FOLDERS = frozenset({"services"})

# Clocks, entropy and waiting, by the name they are reached through. random.Random is a type to be handed in.
CLOCK_MODULES = frozenset({"asyncio", "time", "secrets", "uuid", "threading"})
CLOCK_METHODS = frozenset({"now", "utcnow", "today"})

# Spelt in pieces, so that this file does not contain what it looks for.
_UNFINISHED = re.compile(r"\b(?:" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X")) + r")\b")
_ELSEWHERE = re.compile(
    "|".join(
        (
            r"(?<![\w.-])/wo" + r"rk/(?:main|shared|\.\w)",
            r"(?<![\w.-])/tmp/de" + r"v\b",
            r"(?<![\w.-])/ro" + r"ot/\.\w",
            r"(?<![\w.-])/(?:Us" + r"ers|ho" + r"me)/(?!me\b|user\b|you\b|zmesh\b)\w+",
            r"\bpy" + r"pi\.(?:org|python\.org)\b",
            r"\bpython" + r"hosted\.org\b",
            r"\breg" + r"istry\.npmjs\b",
        )
    )
)


@dataclass(frozen=True)
class Source:
    """A tracked text file: its path from the checkout's root, with slashes, and its text."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @property
    def is_python(self) -> bool:
        return self.path.endswith(".py")

    @property
    def folder(self) -> str:
        """The part of zmesh this belongs to: ``wire`` for zmesh/wire/x.py, ``flow`` for zmesh/flow.py; else empty."""
        parts = PurePosixPath(self.path).parts
        return parts[1].removesuffix(".py") if parts[0] == "zmesh" and len(parts) > 1 else ""


def too_long(source: Source) -> Iterator[str]:
    """No file of code over LINES_MAX lines."""
    lines = len(source.text.splitlines())
    if (
        source.path.startswith(("zmesh/", "tests/", "bin/"))
        and lines > LINES_MAX
        and source.path.count("testdata") == 0
    ):
        yield f"{source.path}: {lines} lines, over {LINES_MAX}"


def undocumented(source: Source) -> Iterator[str]:
    """Every module with code in it says what it decides."""
    if source.is_python and source.tree.body and ast.get_docstring(source.tree) is None:
        yield f"{source.path}: no module docstring"


def vaguely_named(source: Source) -> Iterator[str]:
    """No file or folder of code named for nothing in particular."""
    if source.path.startswith(("zmesh/", "tests/", "bin/")):
        for part in PurePosixPath(source.path).with_suffix("").parts:
            if VAGUE_NAMES & set(part.lower().split("_")):
                yield f"{source.path}: {part!r} says nothing about what is in it"


def unfinished(source: Source) -> Iterator[str]:
    """No mark of work left over in a tracked file."""
    yield from _lines_matching(source, _UNFINISHED, "unfinished")


def from_elsewhere(source: Source) -> Iterator[str]:
    """No path of a developer's machine and no package index's host in a tracked file."""
    yield from _lines_matching(source, _ELSEWHERE, "belongs to one machine")


def impure(source: Source) -> Iterator[str]:
    """Pure code reads no clock, draws no chance of its own and waits for nothing."""
    if source.folder not in PURE or not source.is_python:
        return
    for node in ast.walk(source.tree):
        for module in _imported(node):
            if module.split(".")[0] in CLOCK_MODULES:
                yield f"{_at(source, node)}: pure code imports {module}"
        if isinstance(node, ast.Call):
            name = _dotted(node.func)
            if name.startswith("random.") or name == "Random":
                yield f"{_at(source, node)}: {name}() in pure code; a random.Random is handed in"
            if name.split(".")[0] in ("datetime", "date") and name.split(".")[-1] in CLOCK_METHODS:
                yield f"{_at(source, node)}: {name}() in pure code; now is handed in"
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
            yield f"{_at(source, node)}: pure code waits for nothing"


def chance_of_the_module(source: Source) -> Iterator[str]:
    """Nowhere in zmesh is chance drawn from the random module's hidden state: a Random is made once and handed on."""
    if not (source.is_python and source.folder):
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ImportFrom) and node.module == "random":
            for alias in node.names:
                if alias.name not in ("Random", "SystemRandom"):
                    yield f"{_at(source, node)}: from random import {alias.name}"
        name = _dotted(node.func) if isinstance(node, ast.Call) else ""
        if name.startswith("random.") and name not in ("random.Random", "random.SystemRandom"):
            yield f"{_at(source, node)}: {name}() draws from hidden state"


def frames_outside_wire(source: Source) -> Iterator[str]:
    """Bytes of the protocol are packed and read in wire/ alone; net/ carries zmq's frames without looking inside."""
    if not (source.is_python and source.folder) or source.folder == "wire":
        return
    for node in ast.walk(source.tree):
        for module in _imported(node):
            if module.split(".")[0] in ("struct", "_struct"):
                yield f"{_at(source, node)}: struct outside wire/"
            if module.startswith("msgspec.msgpack") or module == "msgpack":
                yield f"{_at(source, node)}: msgpack outside wire/"
        if isinstance(node, ast.Attribute) and _dotted(node) == "msgspec.msgpack":
            yield f"{_at(source, node)}: msgpack outside wire/"
        if source.folder != "net" and _names(node) == "Frame":
            yield f"{_at(source, node)}: Frame outside wire/ and net/"


def sleeping_test(source: Source) -> Iterator[str]:
    """Tests step time or poll with a deadline (tests/polling.py); none sleeps."""
    if not (source.is_python and source.path.startswith("tests/")) or source.path in SLEEPERS:
        return
    if SLEEPING_FOLDERS & set(PurePosixPath(source.path).parts):
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and _dotted(node.func).split(".")[-1] == "sleep":
            yield f"{_at(source, node)}: {_dotted(node.func)}(); use tests.polling or step the clock"
        if isinstance(node, ast.ImportFrom) and any(alias.name == "sleep" for alias in node.names):
            yield f"{_at(source, node)}: imports sleep; use tests.polling or step the clock"


def expected_unit_test(source: Source) -> str | None:
    """Where the unit tests of this module must be; None for a package's file that only names and re-exports."""
    path = PurePosixPath(source.path)
    if path.parts[0] != "zmesh" or not source.is_python:
        return None
    if path.name == "__init__.py" and _only_names(source.tree):
        return None
    return str(PurePosixPath("tests/unit", *path.parts[1:-1], f"test_{path.stem.strip('_')}.py"))


def untested(sources: list[Source]) -> Iterator[str]:
    """Every module of zmesh has a file of unit tests at the mirrored path, with a test in it."""
    tests = {source.path: source for source in sources if source.path.startswith("tests/unit/")}
    for source in sources:
        expected = expected_unit_test(source)
        if expected is None:
            continue
        if expected not in tests:
            yield f"{source.path}: no {expected}"
        elif not any(_is_test(node) for node in ast.walk(tests[expected].tree)):
            yield f"{source.path}: {expected} has no test in it"


OF_ONE_FILE = (
    too_long,
    undocumented,
    vaguely_named,
    unfinished,
    from_elsewhere,
    impure,
    chance_of_the_module,
    frames_outside_wire,
    sleeping_test,
)


def _at(source: Source, node: ast.AST) -> str:
    return f"{source.path}:{getattr(node, 'lineno', 1)}"


def _lines_matching(source: Source, pattern: re.Pattern[str], why: str) -> Iterator[str]:
    for number, line in enumerate(source.text.splitlines(), 1):
        if found := pattern.search(line):
            yield f"{source.path}:{number}: {found[0]!r}: {why}"


def _imported(node: ast.AST) -> Iterator[str]:
    """The modules an import statement may load: for ``from a import b`` both a and a.b."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _dotted(node: ast.AST) -> str:
    """``a.b.c`` for a chain of names; a part that is no name (a call, an index) is left empty."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return ""


def _names(node: ast.AST) -> str:
    """The last name a node mentions, as a name, an attribute or an import."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.name if isinstance(node, ast.alias) else ""


def _only_names(tree: ast.Module) -> bool:
    """Only a docstring, imports and constants: nothing that a test could fail on."""
    return all(
        isinstance(node, ast.Import | ast.ImportFrom)
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        or (isinstance(node, ast.Assign | ast.AnnAssign) and _is_literal(node.value))
        for node in tree.body
    )


def _is_literal(node: ast.expr | None) -> bool:
    if node is None:
        return True
    try:
        ast.literal_eval(node)
    except ValueError:
        return False
    return True


def _is_test(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test")
