"""What an answer should be, and in what it differs. Pure.

Both ways of writing a test down, ``Answer.expect`` and the YAML of ``meshd test``,
are judged here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import attrs

from meshd.snapshot.regex import full_match

if TYPE_CHECKING:
    from meshd.testing.answer import Answer

MILLISECOND = 0.001
LONGEST = 200
"""Characters of a text that are shown."""


@attrs.frozen
class Mismatch:
    """One thing that is not as expected. ``field`` is spelled as ``Answer`` has it."""

    field: str
    expected: str
    got: str


@attrs.frozen
class Within:
    """A span of seconds, its ends included."""

    at_least: float = 0.0
    at_most: float = math.inf

    @classmethod
    def about(cls, seconds: float) -> Within:
        """This, to the millisecond."""
        return cls(seconds - MILLISECOND / 2, seconds + MILLISECOND / 2)

    def holds(self, value: float) -> bool:
        """Is the value in it?"""
        return self.at_least <= value <= self.at_most

    def __str__(self) -> str:
        if self.at_most - self.at_least < 2 * MILLISECOND:
            return f"{(self.at_least + self.at_most) / 2:.6g} s"
        if self.at_most == math.inf:
            return f"at least {self.at_least:.6g} s"
        if not self.at_least:
            return f"at most {self.at_most:.6g} s"
        return f"{self.at_least:.6g} to {self.at_most:.6g} s"


@attrs.frozen
class Text:
    """What a text should be; every condition that is given must hold. ``regex`` is RE2 and takes the whole text."""

    exact: str | None = None
    prefix: str | None = None
    suffix: str | None = None
    contains: str | None = None
    regex: str | None = None
    present: bool | None = None
    absent: bool | None = None

    def holds(self, value: str | None) -> bool:
        """Is the value (None: not there) as it should be?"""
        if value is None:
            return bool(self.absent) or self.present is False
        return not (
            self.absent
            or self.present is False
            or (self.exact is not None and value != self.exact)
            or (self.prefix is not None and not value.startswith(self.prefix))
            or (self.suffix is not None and not value.endswith(self.suffix))
            or (self.contains is not None and self.contains not in value)
            or (self.regex is not None and not full_match(self.regex)(value.encode()))
        )

    def __str__(self) -> str:
        if self.absent or self.present is False:
            return "none"
        words = {"prefix": "beginning with", "suffix": "ending in", "contains": "containing", "regex": "matching"}
        said = [repr(self.exact)] if self.exact is not None else []
        said += [f"{word} {getattr(self, name)!r}" for name, word in words.items() if getattr(self, name) is not None]
        return " and ".join(said) or "any"


@attrs.frozen(kw_only=True)
class Expectation:
    """What is expected of one answer; None (and no headers) is not looked at."""

    status: tuple[int, ...] | None = None
    served_by: tuple[str, ...] | None = None
    """A workload (``reviews-v2``), or a service (``reviews``: any workload of it), or "" for the calling proxy."""
    hosts: tuple[str, ...] | None = None
    attempts: int | None = None
    flags: tuple[str, ...] | None = None
    took: Within | None = None
    body: Text | None = None
    headers: tuple[tuple[str, Text], ...] = ()
    grpc_status: int | None = None
    mtls: bool | None = None

    def judge(self, answer: Answer, *, raw: bool = False) -> tuple[Mismatch, ...]:
        """In what an answer differs; ``raw`` compares the body byte by byte."""
        return tuple(self._judge(answer, raw=raw))

    def _judge(self, answer: Answer, *, raw: bool) -> Iterator[Mismatch]:
        if self.status is not None and answer.status not in self.status:
            yield Mismatch("status", _either(self.status), str(answer.status))
        if self.served_by is not None and not {answer.served_by, answer.service} & set(self.served_by):
            yield Mismatch("served_by", _either(self.served_by), answer.served_by or "the calling proxy itself")
        if self.hosts is not None and answer.hosts != self.hosts:
            yield Mismatch("hosts", _listed(self.hosts), _listed(answer.hosts))
        if self.attempts is not None and answer.attempts != self.attempts:
            yield Mismatch("attempts", str(self.attempts), str(answer.attempts))
        if self.flags is not None and sorted(answer.flags) != sorted(self.flags):
            yield Mismatch("flags", _listed(self.flags), _listed(answer.flags))
        if self.took is not None and not self.took.holds(answer.took):
            yield Mismatch("took", str(self.took), f"{answer.took:g} s")
        if self.body is not None:
            body = answer.body.decode("latin-1" if raw else "utf-8", "replace")
            if not self.body.holds(body):
                yield Mismatch("body", _cut(str(self.body)), _cut(repr(body)))
        yield from judge_fields(self.headers, answer.headers)
        if self.grpc_status is not None and answer.grpc_status != self.grpc_status:
            yield Mismatch("grpc_status", str(self.grpc_status), str(answer.grpc_status))
        if self.mtls is not None and answer.mtls is not self.mtls:
            yield Mismatch("mtls", _yes(self.mtls), _yes(answer.mtls))


def judge_fields(
    expected: Sequence[tuple[str, Text]], fields: Mapping[str, str], what: str = "headers"
) -> Iterator[Mismatch]:
    """In what header fields differ."""
    for name, text in expected:
        value = fields.get(name)
        if not text.holds(value):
            yield Mismatch(f"{what}.{name}", _cut(str(text)), "none" if value is None else _cut(repr(value)))


def explained(mismatches: Sequence[Mismatch]) -> str:
    """Mismatches as a table, one a line."""
    width = max(len(each.field) for each in mismatches)
    return "\n".join(f"  {each.field.ljust(width)}  expected {each.expected}, got {each.got}" for each in mismatches)


def _either(values: Sequence[object]) -> str:
    return " or ".join(str(value) or "the calling proxy itself" for value in values) or "none"


def _listed(values: Sequence[str]) -> str:
    return ", ".join(values) or "none"


def _yes(value: bool) -> str:  # noqa: FBT001 - a value to show
    return "yes" if value else "no"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[:LONGEST] + "..."
