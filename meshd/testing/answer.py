"""What an application gets for a call, and how a test says what it should have been."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from meshd.testing.fields import FieldView
from meshd.testing.judging import Expectation, Mismatch, Text, Within, explained
from meshd.testing.records import AccessRecord

LONGEST_BODY = 80
"""Bytes of a body that are worth a line."""


@attrs.frozen(repr=False)
class Answer:
    """A response as the application got it, and what its proxy knows of it (empty when there was no proxy)."""

    status: int
    headers: FieldView
    body: bytes
    took: float
    """Virtual seconds from the call to the last byte."""
    served_by: str = ""
    """The workload that answered (or its sidecar), as ``reviews-v2``; "" when it was the calling proxy itself."""
    record: AccessRecord | None = None
    hosts: tuple[str, ...] = ()
    """The workloads that the request reached, one for each try, in order: ``("reviews-v2", "reviews-v1")``."""
    trailers: FieldView = attrs.field(factory=FieldView)
    request: str = ""
    """What was asked: ``GET http://reviews/``."""
    hint: str = ""
    """What may be wrong with the test itself, "" as a rule."""
    service: str = ""
    """The service that ``served_by`` is of."""

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)

    @property
    def attempts(self) -> int:
        """How many times the calling proxy tried a backend."""
        return self.record.attempts if self.record else 0

    @property
    def flags(self) -> tuple[str, ...]:
        """The calling proxy's response flags."""
        return self.record.flags if self.record else ()

    @property
    def detail(self) -> str:
        """The calling proxy's response code details."""
        return self.record.detail if self.record else ""

    @property
    def reason(self) -> str:
        """Why meshd answered itself, in words: its ``x-meshd-reason``, or the calling proxy's own."""
        return self.headers.get("x-meshd-reason") or (self.record.reason if self.record else "")

    @property
    def cluster(self) -> str:
        """Where the calling proxy sent it."""
        return self.record.cluster if self.record else ""

    @property
    def route(self) -> str:
        """The name of the route that was taken."""
        return self.record.route if self.record else ""

    @property
    def mtls(self) -> bool:
        """Did the calling proxy speak mutual TLS with the backend?"""
        return self.record is not None and self.record.upstream_mtls

    @property
    def grpc_status(self) -> int | None:
        """The status that gRPC has of its own, None when there is none."""
        said = self.trailers.get("grpc-status") or self.headers.get("grpc-status") or ""
        return int(said) if said.isdecimal() else None

    def expect(
        self,
        *,
        status: int | Sequence[int] | None = None,
        served_by: str | Sequence[str] | None = None,
        hosts: Sequence[str] | None = None,
        attempts: int | None = None,
        flags: str | Sequence[str] | None = None,
        took: float | tuple[float, float] | None = None,
        body: str | bytes | None = None,
        headers: Mapping[str, str | None] | None = None,
        grpc_status: int | None = None,
        mtls: bool | None = None,
    ) -> Answer:
        """Hold it against what was expected; what is not given is not looked at.

        Args:
            status: The status, or several that will do.
            served_by: The workload that answered, or several that will do.
            hosts: The workload of each try, in order.
            attempts: How many times a backend was tried.
            flags: The response flags, all of them: ``"URX"``, ``("UT", "URX")``, ``()``.
            took: Virtual seconds to the millisecond, or (at least, at most).
            body: The whole body.
            headers: Header fields that must be there, None for those that must not.
            grpc_status: gRPC's own status.
            mtls: Whether mutual TLS was spoken with the backend.

        Returns:
            The answer itself.

        Raises:
            AssertionError: everything that is not as expected, and what happened.
        """
        __tracebackhide__ = True
        expected = Expectation(
            status=_several(status),
            served_by=_several(served_by),
            hosts=None if hosts is None else tuple(hosts),
            attempts=attempts,
            flags=None if flags is None else (flags,) if isinstance(flags, str) else tuple(flags),
            took=_within(took),
            body=None if body is None else Text(exact=body if isinstance(body, str) else body.decode("latin-1")),
            headers=tuple(
                (name, Text(absent=True) if value is None else Text(exact=value))
                for name, value in (headers or {}).items()
            ),
            grpc_status=grpc_status,
            mtls=mtls,
        )
        mismatches = expected.judge(self, raw=isinstance(body, bytes))
        if mismatches:
            raise AssertionError(self.report(mismatches))
        return self

    def report(self, mismatches: Sequence[Mismatch]) -> str:
        """What is not as expected, as a test's failure has it."""
        return f"{self.request or 'the answer'} was not as expected\n{explained(mismatches)}\n  but: {self.story()}"

    def story(self) -> str:
        """What happened, in a sentence."""
        parts = [" ".join([str(self.status), *self.flags])]
        if self.served_by:
            parts.append(f"from {self.served_by}")
        elif self.record is not None:
            parts.append("from the calling proxy itself")
        parts.append(f"after {self.took:g} s")
        if self.attempts > 1 or len(self.hosts) > 1:
            tried = f" ({', '.join(self.hosts)})" if self.hosts else ""
            parts.append(f"in {self.attempts} attempts{tried}")
        told = "; ".join(part for part in (self.reason, self.hint) if part)
        return " ".join(parts) + (f": {told}" if told else "")

    def __repr__(self) -> str:
        body = self.body if len(self.body) <= LONGEST_BODY else self.body[:LONGEST_BODY] + b"..."
        return f"<Answer {self.story()}; body {body!r}>"


def _several(value: Any) -> tuple[Any, ...] | None:
    if value is None:
        return None
    return (value,) if isinstance(value, int | str) else tuple(value)


def _within(took: float | tuple[float, float] | None) -> Within | None:
    if took is None:
        return None
    return Within(*took) if isinstance(took, tuple) else Within.about(took)
