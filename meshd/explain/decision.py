"""What one proxy does with one call, and all that led to it. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

import attrs

from meshd.snapshot.common import HeaderOperations
from meshd.snapshot.policy import Fault
from meshd.snapshot.route import RetryPolicy


class Verdict(StrEnum):
    """How it ends, as far as this proxy decides."""

    ALLOW = "allow"
    DENY = "deny"
    NO_ROUTE = "no-route"
    NO_LISTENER = "no-listener"
    NO_HEALTHY_UPSTREAM = "no-healthy-upstream"
    REDIRECT = "redirect"
    DIRECT_RESPONSE = "direct-response"
    RESET = "reset"


SERVED: Final = frozenset({Verdict.ALLOW, Verdict.REDIRECT, Verdict.DIRECT_RESPONSE})
"""Verdicts of a call that got what its configuration means it to get."""


@attrs.frozen
class Seen:
    """One thing that was looked at.

    ``at``: ``listener``, ``chain``, ``tls``, ``virtual_host``, ``route``,
    ``authorization``, ``filter``, ``cluster``. ``rule`` is the index of the rule
    in its document (or of the thing in its list), -1 when there is none.
    """

    at: str
    rule: int
    matched: bool
    because: str
    name: str = ""
    resource: str = ""
    match: int = -1
    section: str = "http"
    file: str = ""

    def to_json(self) -> dict[str, Any]:
        """As ``-o json`` has it."""
        return {
            "at": self.at,
            "rule": self.rule,
            **({"match": self.match} if self.match >= 0 else {}),
            "matched": self.matched,
            "because": self.because,
            "name": self.name,
            "resource": self.resource,
            "file": self.file,
        }


@attrs.frozen
class RouteTaken:
    """The route: its name, and the document's rule it came from."""

    name: str
    resource: str = ""
    rule: int = -1
    match: int = -1
    section: str = "http"
    file: str = ""

    def to_json(self) -> dict[str, Any]:
        """As ``-o json`` has it."""
        return {"name": self.name, "resource": self.resource, "rule": self.rule, "file": self.file}


@attrs.frozen
class Share:
    """One of several destinations."""

    cluster: str
    percent: float


@attrs.frozen
class Mutual:
    """How the connection is secured: ``mutual``, ``simple``, ``disable`` or "" (nothing is called), and why."""

    mode: str = ""
    because: str = ""
    resource: str = ""
    file: str = ""


@attrs.frozen
class Rewritten:
    """What goes up when it is not what came: "" is "as it was"."""

    path: str = ""
    host: str = ""


@attrs.frozen
class Decision:
    """Everything about one call at one proxy. Fields are "" or empty when it did not come so far."""

    verdict: Verdict = Verdict.ALLOW
    status: int = 0
    """The status meshd itself answers with; 0 when the backend's counts, or there is no answer."""
    reason: str = ""
    flags: tuple[str, ...] = ()
    listener: str = ""
    filter_chain: str = ""
    route_config: str = ""
    virtual_host: str = ""
    route: RouteTaken | None = None
    cluster: str = ""
    shares: tuple[Share, ...] = ()
    endpoints: tuple[str, ...] = ()
    mtls: Mutual = Mutual()
    timeout: float = 0.0
    retry: RetryPolicy | None = None
    rewritten: Rewritten = Rewritten()
    location: str = ""
    """Of a redirect."""
    body: str = ""
    """Of a direct response."""
    fault: Fault | None = None
    mirrors: tuple[Share, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    """The request's, as they go up."""
    response_headers: HeaderOperations = HeaderOperations()
    steps: tuple[Seen, ...] = ()
    missing_status: int = 0
    """What the route answers when its destination does not exist."""

    def to_json(self) -> dict[str, Any]:
        """As ``-o json`` has it: every field, always."""
        retry = self.retry
        return {
            "verdict": self.verdict.value,
            "status": self.status,
            "reason": self.reason,
            "flags": list(self.flags),
            "listener": self.listener,
            "filter_chain": self.filter_chain,
            "route_config": self.route_config,
            "virtual_host": self.virtual_host,
            "route": None if self.route is None else self.route.to_json(),
            "cluster": self.cluster,
            "destinations": [{"cluster": each.cluster, "percent": each.percent} for each in self.shares],
            "endpoints": list(self.endpoints),
            "mtls": self.mtls.mode,
            "mtls_because": {"why": self.mtls.because, "resource": self.mtls.resource, "file": self.mtls.file},
            "timeout": self.timeout,
            "retries": {"attempts": retry.attempts if retry else 0, "on": list(retry.on) if retry else []},
            "rewritten": {"path": self.rewritten.path, "host": self.rewritten.host},
            "location": self.location,
            "fault": _fault(self.fault),
            "mirrors": [{"cluster": each.cluster, "percent": each.percent} for each in self.mirrors],
            "headers": _joined(self.headers),
            "response_headers": _operations(self.response_headers),
            "steps": [step.to_json() for step in self.steps],
        }


def _joined(headers: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for name, value in headers:
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def _operations(operations: HeaderOperations) -> dict[str, Any]:
    return {"set": dict(operations.set), "add": dict(operations.add), "remove": list(operations.remove)}


def _fault(fault: Fault | None) -> dict[str, Any] | None:
    if fault is None:
        return None
    delay, abort = fault.delay, fault.abort
    return {
        "delay": None if delay is None else {"seconds": delay.seconds, "percent": delay.percent.per_million / 10_000},
        "abort": None
        if abort is None
        else {
            "status": abort.http_status if abort.http_status >= 0 else None,
            "grpc_status": abort.grpc_status if abort.grpc_status >= 0 else None,
            "percent": abort.percent.per_million / 10_000,
        },
    }
