"""Test files, read: which there are, what they say, and what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from meshd.api.common import Map, Metadata
from meshd.api.convert import Converter, suggestion
from meshd.api.document import Origin, format_path
from meshd.api.problem import SCHEMA_ERROR, SYNTAX_ERROR, Level, Problem, error
from meshd.api.yaml import Tree, parse
from meshd.control.finding import CANNOT_BE_READ, Finding
from meshd.errors import ConfigError
from meshd.snapshot.regex import full_match
from meshd.testing import cast
from meshd.testing.calls import PROTOCOLS, Call
from meshd.testing.cases.form import (
    API_VERSION,
    BEHAVIOUR,
    DECISION,
    KIND,
    OUTSIDE,
    Case,
    Expect,
    MeshTest,
    said,
)
from meshd.testing.cases.shorthand import written_out
from meshd.testing.judging import Text
from meshd.testing.loading import yaml_files

ENVELOPE: Final = frozenset({"apiVersion", "kind", "metadata"})
VERDICTS: Final = (
    "allow",
    "deny",
    "no-route",
    "no-listener",
    "no-healthy-upstream",
    "redirect",
    "direct-response",
    "reset",
)
SERVED_PROTOCOLS: Final = ("http", "http2", "grpc")
MODES: Final = ("mutual", "simple", "disable")
MOST_TIMES: Final = 100_000
_LOOKS_LIKE_ONE: Final = re.compile(rb"^\s*[\"']?kind[\"']?:\s*[\"']?MeshTest\b", re.MULTILINE)

Path_ = tuple[str | int, ...]


@attrs.frozen(eq=False)
class Suite:
    """One document of cases. ``name`` is its own, or the file's."""

    name: str
    test: MeshTest
    file: Path
    tree: Tree

    def place(self, *path: str | int, value: bool = True) -> Origin:
        """Where a field stands."""
        line, column = self.tree.marks.locate(path, value=value)
        return Origin(str(self.file), line, column)

    @property
    def configuration(self) -> tuple[Path, ...]:
        """The paths of the configuration that is tested."""
        here = self.file.parent
        return (here,) if self.test.config is None else tuple(here / each for each in self.test.config)


@attrs.frozen
class Read:
    """What the paths hold: documents of cases, and findings, all of them errors."""

    suites: tuple[Suite, ...] = ()
    findings: tuple[Finding, ...] = ()


def read(paths: Iterable[Path]) -> Read:
    """Every document of cases in these files and directories."""
    suites: list[Suite] = []
    findings: list[Finding] = []
    converter = Converter()
    for path in paths:
        for file in yaml_files(path):
            try:
                text = file.read_bytes()
            except OSError as failure:
                why = f"cannot be read: {failure.strerror}"
                findings.append(Finding(CANNOT_BE_READ, Level.ERROR, why, origin=Origin(str(file))))
                continue
            # In a directory of configuration most files are none of ours.
            if path.is_dir() and _LOOKS_LIKE_ONE.search(text) is None:
                continue
            _read_file(file, text, converter, suites, findings)
    return Read(tuple(suites), tuple(findings))


def _read_file(file: Path, text: bytes, converter: Converter, suites: list[Suite], findings: list[Finding]) -> None:
    parsed = parse(text)
    for mistake in parsed.mistakes:
        origin = Origin(str(file), mistake.line, mistake.column)
        findings.append(Finding(SYNTAX_ERROR, Level.ERROR, str(mistake), origin=origin))
    for tree in parsed.trees:
        if not isinstance(tree.value, dict) or tree.value.get("kind") != KIND:
            continue
        test, problems = _structure(tree.value, converter)
        if test is not None:
            problems = (*_wrong_with_paths(test, file), *_wrong_with(test))
        if test is not None and not problems:
            metadata = tree.value.get("metadata")
            name = metadata.get("name") if isinstance(metadata, dict) else None
            suites.append(Suite(str(name or file.stem), test, file, tree))
        findings += [_finding(problem, tree, file) for problem in problems]


def _structure(value: dict[str, Any], converter: Converter) -> tuple[MeshTest | None, tuple[Problem, ...]]:
    version = value.get("apiVersion")
    problems: list[Problem] = []
    if version != API_VERSION:
        problems.append(error(("apiVersion",), f"{KIND} is of {API_VERSION}, found {version!r}"))
    _, found = converter.structure(value.get("metadata"), Metadata, ("metadata",))
    problems += found
    body = {name: each for name, each in value.items() if name not in ENVELOPE}
    test, found = converter.structure(written_out(body), MeshTest)
    problems += found
    errors = tuple(each for each in problems if each.level is Level.ERROR)
    return (None if errors else test), errors


def _finding(problem: Problem, tree: Tree, file: Path) -> Finding:
    line, column = tree.marks.locate(problem.path, value=problem.at_value)
    origin = Origin(str(file), line, column)
    return Finding(problem.code or SCHEMA_ERROR, Level.ERROR, problem.message, KIND, origin, format_path(problem.path))


def _wrong_with_paths(test: MeshTest, file: Path) -> Iterator[Problem]:
    for index, path in enumerate(test.config or ()):
        if not (file.parent / path).exists():
            yield error(("config", index), f"no file or directory {path!r} from {file.parent}")


def _wrong_with(test: MeshTest) -> Iterator[Problem]:
    """What the classes cannot say."""
    if not test.cases:
        yield error(("cases",), "there is no case in it")
    names: dict[str, int] = {}
    for index, case in enumerate(test.cases):
        path: Path_ = ("cases", index)
        if case.name in names:
            yield error((*path, "name"), f"this is also the name of case {names[case.name] + 1}")
        names[case.name] = index
        yield from _wrong_with_case(case, path)
    for name, service in test.services.items():
        yield from _wrong_with_answers(service.answers, ("services", name, "answers"))
        for version, answers in service.versions.items():
            yield from _wrong_with_answers(answers, ("services", name, "versions", version))
        wrong = cast.misnamed(name, service.namespace, service.account or name, service.versions)
        if wrong:
            yield error(("services", name), wrong, at_value=False)
        if service.protocol not in SERVED_PROTOCOLS:
            yield error(("services", name, "protocol"), f"it must be one of {', '.join(SERVED_PROTOCOLS)}")
        if not 0 <= service.port < 65536:
            yield error(("services", name, "port"), "it must be between 1 and 65535")
        if service.answers and service.versions:
            yield error(("services", name), "give answers, or versions with an answer each, not both")


def _wrong_with_case(case: Case, path: Path_) -> Iterator[Problem]:
    try:
        Call.of(case.call)
    except ValueError as failure:
        yield error((*path, "call"), str(failure))
    if case.protocol not in PROTOCOLS:
        yield error((*path, "protocol"), f"it must be one of {', '.join(PROTOCOLS)}")
    if not 1 <= case.times <= MOST_TIMES:
        yield error((*path, "times"), f"it must be between 1 and {MOST_TIMES}")
    if bool(case.from_) == bool(case.through) and case.from_ != OUTSIDE:
        yield error(path, "say who calls: `from`, a service or workload, or `through`, a gateway")
    if not said(case.expect, (*BEHAVIOUR, *DECISION)):
        yield error((*path, "expect"), "nothing is expected, so nothing can fail")
    yield from _wrong_with_expect(case, (*path, "expect"))
    for name, given in case.given.items():
        yield from _wrong_with_answers(given.answers, (*path, "given", name, "answers"))


def _wrong_with_expect(case: Case, path: Path_) -> Iterator[Problem]:
    expect = case.expect
    for name, choices, value in (("verdict", VERDICTS, expect.verdict), ("mtls", MODES, expect.mtls)):
        if value is not None and value not in choices:
            hint = suggestion(value, choices)
            hint = hint if "did you mean" in hint else f"; it must be one of {', '.join(choices)}"
            yield error((*path, name), f"unknown value{hint}")
    for name, shares in (
        ("status", expect.status.shares if expect.status else Map()),
        ("servedBy", expect.servedBy.shares if expect.servedBy else Map()),
    ):
        if shares and case.times < 2:
            yield error((*path, name), "shares need `times`: how often to call")
        if sum(shares.values()) > 100.001 or any(share < 0 for share in shares.values()):
            yield error((*path, name), "shares are percents, and all of them at most 100")
    if expect.took is not None and expect.took.exactly is not None and (expect.took.atLeast or expect.took.atMost):
        yield error((*path, "took"), "give exactly, or atLeast and atMost")
    others = [name for name in said(expect, BEHAVIOUR) if name not in ("error", "received", "receivedPath")]
    if expect.error is not None and others:
        yield error((*path, others[0]), "where an error is expected, there is no answer of which this could be said")
    for where, words in _all_texts(expect):
        try:
            full_match(words.regex or "")
        except ConfigError as failure:
            yield error((*path, *where), failure.message)


def _all_texts(expect: Expect) -> Iterator[tuple[Path_, Text]]:
    for name in ("headers", "received"):
        yield from (((name, field), words) for field, words in getattr(expect, name).items())
    for name in ("body", "receivedPath", "error"):
        if getattr(expect, name) is not None:
            yield (name,), getattr(expect, name)


def _wrong_with_answers(answers: Sequence[Any], path: Path_) -> Iterator[Problem]:
    for index, answer in enumerate(answers):
        if not 200 <= answer.status <= 599:
            yield error((*path, index, "status"), f"{answer.status} is no status to answer with: expected 200 to 599")
        if answer.hang + answer.reset + answer.echo > 1:
            yield error((*path, index), "give one of hang, reset and echo")
