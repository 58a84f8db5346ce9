"""Timeouts, retries and faults of routes that get in each other's way. Pure.

Source: Envoy's router (an attempt's time counts within the route's; the last
try is number ``attempts + 1``) and Istio's ``route.go`` (a fault turns the
route's timeout and retries off).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from meshd.api.common import Duration, Percent
from meshd.api.document import Document, Path
from meshd.api.durations import format_duration
from meshd.api.networking.destination_rule import ConnectionPoolSettings, DestinationRule
from meshd.api.networking.virtual_service import HTTPRetry, HTTPRoute, VirtualService
from meshd.api.problem import Problem
from meshd.control.analysis.facts import Facts, told
from meshd.control.analysis.own.remarks import remark
from meshd.control.finding import Finding

RETRIES_OUTLAST_TIMEOUT: Final = "MD0018"
UNSAFE_RETRIES: Final = "MD0019"
FAULT_FOR_EVERYONE: Final = "MD0020"
FAULT_DISABLES: Final = "MD0021"
CONNECTING_OUTLASTS_TIMEOUT: Final = "MD0022"

UNSAFE_METHODS: Final = frozenset({"POST", "PATCH"})
"""Done twice, they may take effect twice (RFC 9110, section 9.2.2)."""

AFTER_THE_FACT: Final = frozenset(
    {
        "5xx",
        "gateway-error",
        "reset",
        "retriable-4xx",
        "500",
        "502",
        "503",
        "504",
        "cancelled",
        "deadline-exceeded",
        "internal",
        "resource-exhausted",
    }
)
"""Conditions that also hold when the server may have done its work already."""


def route_times(facts: Facts) -> Iterable[Finding]:
    """Timeouts, retries and faults of VirtualServices."""
    connecting = _connect_timeouts(facts)
    for document in facts.all(VirtualService):
        service: VirtualService = document.resource
        problems: list[Problem] = []
        for index, route in enumerate(service.http):
            here: Path = ("spec", "http", index)
            problems += _faults(route, here)
            if not _has_fault(route):
                problems += _retries(route, here)
                problems += _connecting(facts, document, route, here, connecting)
        yield from told(document, problems)


def _retries(route: HTTPRoute, path: Path) -> Iterator[Problem]:
    retries = route.retries
    if retries is None or not retries.attempts:
        return
    yield from _outlasting(retries, retries.attempts, route.timeout, (*path, "retries"))
    methods = {_method(match.method.exact) for match in route.match if match.method is not None}
    unsafe = methods & UNSAFE_METHODS
    if not route.match or any(match.method is None for match in route.match) or methods != unsafe:
        return
    conditions = [word.strip() for word in re.split(",", retries.retryOn)]
    risky = [word for word in conditions if word in AFTER_THE_FACT]
    if risky and unsafe:
        yield remark(
            UNSAFE_RETRIES,
            (*path, "retries", "retryOn"),
            f"a {' or '.join(sorted(unsafe))} that failed with {', '.join(risky)} may have taken effect, and is sent "
            'again: retry on "connect-failure,refused-stream" only, or attempts: 0',
            at_value=True,
        )


def _method(exact: str | None) -> str:
    return exact or ""


def _outlasting(retries: HTTPRetry, attempts: int, timeout: Duration | None, path: Path) -> Iterator[Problem]:
    """Tries that can never begin, because those before them use the route's time up."""
    each = retries.perTryTimeout
    if not timeout or not each:
        return
    if each >= timeout:
        yield remark(
            RETRIES_OUTLAST_TIMEOUT,
            (*path, "perTryTimeout"),
            f"perTryTimeout {format_duration(each)} is not shorter than the route's timeout "
            f"{format_duration(timeout)}: a try that hangs is never repeated; make the timeout longer than "
            f"{format_duration(Duration(each * (attempts + 1)))}",
            at_value=True,
        )
    elif attempts * each >= timeout:
        fit = int(timeout / each - 1e-9)
        yield remark(
            RETRIES_OUTLAST_TIMEOUT,
            (*path, "attempts"),
            f"{attempts} retries of {format_duration(each)} each do not fit into the route's timeout "
            f"{format_duration(timeout)}: when tries hang, only {fit} can begin; "
            f"allow {format_duration(Duration(each * (attempts + 1)))} in all, or fewer attempts",
            at_value=True,
        )


def _has_fault(route: HTTPRoute) -> bool:
    return route.fault is not None


def _faults(route: HTTPRoute, path: Path) -> Iterator[Problem]:
    fault = route.fault
    if fault is None:
        return
    everyone = not route.match or any(
        not (match.headers or match.withoutHeaders or match.queryParams or match.sourceLabels or match.sourceNamespace)
        for match in route.match
    )
    if fault.abort is not None and everyone and _share(fault.abort.percentage) >= 100:
        answer = fault.abort.httpStatus if fault.abort.httpStatus is not None else fault.abort.grpcStatus
        yield remark(
            FAULT_FOR_EVERYONE,
            (*path, "fault", "abort"),
            f"every request of this rule is answered with {answer} and reaches no server: "
            "lower the percentage, or match the requests that are meant by a header",
        )
    delay = fault.delay
    if delay is not None and delay.fixedDelay and everyone:
        share = _share(delay.percentage) if delay.percentage is not None else float(delay.percent or 0)
        if share >= 100:
            yield remark(
                FAULT_FOR_EVERYONE,
                (*path, "fault", "delay"),
                f"every request of this rule waits {format_duration(delay.fixedDelay)}: "
                "lower the percentage, or match the requests that are meant by a header",
            )
    lost = [name for name in ("timeout", "retries") if getattr(route, name) is not None]
    if lost and (fault.abort is not None or delay is not None):
        yield remark(
            FAULT_DISABLES,
            (*path, lost[0]),
            f"a rule with a fault has no {' and no '.join(lost)}: what is written here is not heeded while the fault "
            "is there; put the fault into a rule of its own",
        )


def _share(percentage: Percent | None) -> float:
    return percentage.value if percentage is not None else 0.0


def _connect_timeouts(facts: Facts) -> dict[tuple[str, str], Duration]:
    """The connect timeouts that DestinationRules give all of a host, by namespace and host."""
    found: dict[tuple[str, str], Duration] = {}
    for document in facts.all(DestinationRule):
        rule: DestinationRule = document.resource
        policy = rule.trafficPolicy
        pool: ConnectionPoolSettings | None = policy.connectionPool if policy is not None else None
        if policy is None or pool is None or pool.tcp is None or not pool.tcp.connectTimeout:
            continue
        if rule.workloadSelector is None and not policy.portLevelSettings:
            host = facts.hosts.resolve(rule.host, document.namespace)
            found.setdefault((document.namespace, host), pool.tcp.connectTimeout)
    return found


def _connecting(
    facts: Facts, document: Document, route: HTTPRoute, path: Path, connecting: dict[tuple[str, str], Duration]
) -> Iterator[Problem]:
    """A server that cannot be reached uses all the time up, so that no other is tried."""
    retries = route.retries
    if not route.timeout or (retries is not None and (not retries.attempts or retries.perTryTimeout)):
        return
    for index, destination in enumerate(route.route):
        host = facts.hosts.resolve(destination.destination.host, document.namespace)
        found = connecting.get((document.namespace, host))
        if found is not None and found >= route.timeout:
            yield remark(
                CONNECTING_OUTLASTS_TIMEOUT,
                (*path, "route", index, "destination"),
                f"connecting to {host} may take {format_duration(found)} (connectTimeout of its DestinationRule), the "
                f"route's timeout is {format_duration(route.timeout)}: when a server does not answer, no other is "
                "tried; shorten connectTimeout",
            )
            return
