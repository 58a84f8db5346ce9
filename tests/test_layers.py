"""The house stays as it was drawn: who may import whom, what is pure, and how long a thing may grow.

The table is that of docs/architecture.md. Everything here reads source, nothing imports it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "meshd"

# A room, and the rooms it may import from besides itself.
ROOMS: dict[str, frozenset[str]] = {
    "errors": frozenset(),
    "net": frozenset({"errors"}),
    "api": frozenset({"errors"}),
    "snapshot": frozenset({"errors"}),
    "http": frozenset({"net", "errors"}),
    "certs": frozenset({"http", "net", "errors", "snapshot"}),
    "telemetry": frozenset({"http", "net", "snapshot", "errors"}),
    "policy": frozenset({"telemetry", "http", "net", "snapshot", "certs", "errors"}),
    "agent": frozenset({"certs", "snapshot", "http", "net", "errors"}),
    "proxy": frozenset({"policy", "telemetry", "certs", "snapshot", "http", "net", "errors"}),
    "control": frozenset({"policy", "telemetry", "certs", "api", "snapshot", "http", "net", "errors"}),
    "explain": frozenset(
        {"control", "proxy", "policy", "telemetry", "certs", "api", "snapshot", "http", "net", "errors"}
    ),
}
EVERY_ROOM_BELOW = frozenset(ROOMS) | {"errors"}
ROOMS["modes"] = EVERY_ROOM_BELOW
ROOMS["testing"] = EVERY_ROOM_BELOW | {"modes"}
ROOMS["cli"] = EVERY_ROOM_BELOW | {"modes", "testing"}

# Values that stand between two rooms; whoever speaks of an exchange may import what it is.
SEAM = frozenset({"meshd.policy.exchange"})

# What a deciding module must be given instead of taking.
TAKEN_FROM_THE_WORLD = frozenset({"trio", "socket", "ssl", "time", "random", "logging"})
# What a plain sidecar cannot afford; it never loads these.
TOO_HEAVY = frozenset(
    {"yaml", "cryptography", "typer", "asyncio", "rich", "pydantic", "watchfiles", "httpx2", "opentelemetry"}
)
SIDECAR_ROOMS = frozenset({"agent", "proxy", "http", "net", "snapshot", "policy", "telemetry"})

WARN_MODULE, FAIL_MODULE = 400, 500
WARN_FUNCTION, FAIL_FUNCTION = 40, 60
MOST_POSITIONAL = 5


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    parts = [*path.relative_to(PACKAGE.parent).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0] if len(parts) > 1 or parts[0] == "errors" else ""


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every import, also those inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative imports hide the room"
            assert node.module
            yield node.lineno, node.module
            if node.module == "meshd":
                for alias in node.names:
                    yield node.lineno, f"meshd.{alias.name}"


def pure(tree: ast.Module) -> bool:
    """Does the module's docstring say, in its first paragraph, that it is pure?"""
    docstring = ast.get_docstring(tree) or ""
    return docstring.partition("\n\n")[0].rstrip().endswith(("Pure.", "Pure values."))


@pytest.fixture(scope="module")
def trees() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text(encoding="utf-8"), str(path)) for path in modules()}


def test_every_module_says_its_job(trees: dict[Path, ast.Module]) -> None:
    silent = [name_of(path) for path, tree in trees.items() if not ast.get_docstring(tree)]
    assert silent == []


def test_rooms_import_only_what_they_may(trees: dict[Path, ast.Module]) -> None:
    trespasses = []
    for path, tree in trees.items():
        room = room_of(path)
        if room == "":
            continue
        assert room in ROOMS, f"{path}: a room that the table does not know"
        for line, target in imports(tree):
            parts = target.split(".")
            if parts[0] != "meshd" or len(parts) == 1 or target in SEAM:
                continue
            if parts[1] != room and parts[1] not in ROOMS[room] and parts[1] in ROOMS:
                trespasses.append(f"{path.relative_to(PACKAGE.parent)}:{line}: {room} may not import {target}")
    assert trespasses == []


def test_pure_modules_take_nothing_from_the_world(trees: dict[Path, ast.Module]) -> None:
    impure = [
        f"{path.relative_to(PACKAGE.parent)}:{line}: says it is pure and imports {target}"
        for path, tree in trees.items()
        if pure(tree)
        for line, target in imports(tree)
        if target.split(".")[0] in TAKEN_FROM_THE_WORLD
    ]
    assert impure == []


def test_there_are_pure_modules_in_every_deciding_room(trees: dict[Path, ast.Module]) -> None:
    rooms = {room_of(path) for path, tree in trees.items() if pure(tree)}
    assert {"snapshot", "http", "net", "policy", "certs", "errors"} <= rooms


def test_the_sidecar_path_loads_nothing_heavy(trees: dict[Path, ast.Module]) -> None:
    heavy = [
        f"{path.relative_to(PACKAGE.parent)}:{line}: {target}"
        for path, tree in trees.items()
        if room_of(path) in SIDECAR_ROOMS
        for line, target in imports(tree)
        if target.split(".")[0] in TOO_HEAVY
    ]
    assert heavy == []


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def code_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function, its signature and docstring not counted."""
    body = node.body[1:] if ast.get_docstring(node) is not None and len(node.body) > 1 else node.body
    return (node.end_lineno or 0) - body[0].lineno + 1


def test_sizes_stay_human(trees: dict[Path, ast.Module]) -> None:
    large: list[str] = []
    too_large: list[str] = []
    for path, tree in trees.items():
        where = str(path.relative_to(PACKAGE.parent))
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > WARN_MODULE:
            (too_large if lines > FAIL_MODULE else large).append(f"{where}: {lines} lines")
        for function in functions(tree):
            lines = code_lines(function)
            if lines > WARN_FUNCTION:
                entry = f"{where}:{function.lineno}: {function.name} has {lines} lines"
                (too_large if lines > FAIL_FUNCTION else large).append(entry)
    if large:
        print("growing:", *large, sep="\n  ")  # noqa: T201 - pytest shows it with -s or on failure
    assert too_large == [], f"beyond {FAIL_MODULE} lines a module or {FAIL_FUNCTION} a function: find the missing part"


def test_few_positional_arguments(trees: dict[Path, ast.Module]) -> None:
    crowded = []
    for path, tree in trees.items():
        for function in functions(tree):
            arguments = [
                a.arg for a in (*function.args.posonlyargs, *function.args.args) if a.arg not in {"self", "cls"}
            ]
            # typer reads a command's flags from its signature; that is its form, not a call of ours.
            if len(arguments) > MOST_POSITIONAL and room_of(path) != "cli":
                crowded.append(f"{path.relative_to(PACKAGE.parent)}:{function.lineno}: {function.name}")
    assert crowded == [], f"more than {MOST_POSITIONAL} positional arguments: find the missing type"


def test_mirrored_names() -> None:
    """A test module is named for the module it tests, or for a story of its room."""
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    folders = {
        path.name for path in (PACKAGE.parent / "tests").iterdir() if path.is_dir() and path.name != "__pycache__"
    }
    assert folders - rooms <= {"golden", "journeys", "interop", "bench", "data", "robustness"}
