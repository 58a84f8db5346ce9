"""Timeouts, retries and faults that get in each other's way."""

from __future__ import annotations

import pytest

from meshd.control.analysis.own.route_times import route_times
from tests.control.analysis.own.cases import codes, lines, rule, virtual_service

TO = "route: [{destination: {host: a}}]"


def of(fields: str, *others: str) -> list[str]:
    return lines(route_times, virtual_service(f"{TO}, {fields}"), *others)


def test_a_try_as_long_as_the_whole() -> None:
    [line] = of("timeout: 5s, retries: {attempts: 3, perTryTimeout: 5s}")
    assert line.startswith("MD0018 7:")
    assert "a try that hangs is never repeated; make the timeout longer than 20s" in line


def test_more_tries_than_fit() -> None:
    [line] = of("timeout: 5s, retries: {attempts: 3, perTryTimeout: 2s}")
    assert "3 retries of 2s each do not fit into the route's timeout 5s: when tries hang, only 2 can begin" in line


@pytest.mark.parametrize(
    "fields",
    [
        "timeout: 7s, retries: {attempts: 3, perTryTimeout: 2s}",
        "timeout: 5s, retries: {attempts: 3}",
        "timeout: 5s, retries: {attempts: 0}",
        "retries: {attempts: 3, perTryTimeout: 2s}",
        # Without attempts there are none.
        "timeout: 5s, retries: {perTryTimeout: 6s}",
    ],
)
def test_tries_that_fit(fields: str) -> None:
    assert of(fields) == []


def test_retrying_what_may_have_been_done() -> None:
    match = "match: [{method: {exact: POST}}]"
    [line] = of(f"{match}, retries: {{attempts: 2, retryOn: 'connect-failure,5xx'}}")
    assert line.startswith("MD0019 7:")
    assert "a POST that failed with 5xx may have taken effect" in line


@pytest.mark.parametrize(
    "fields",
    [
        "match: [{method: {exact: POST}}], retries: {attempts: 2, retryOn: connect-failure}",
        "match: [{method: {exact: POST}}], retries: {attempts: 2}",
        "match: [{method: {exact: GET}}], retries: {attempts: 2, retryOn: 5xx}",
        "match: [{method: {exact: POST}}, {method: {exact: GET}}], retries: {attempts: 2, retryOn: 5xx}",
        "match: [{method: {exact: POST}}, {uri: {exact: /a}}], retries: {attempts: 2, retryOn: 5xx}",
        "retries: {attempts: 2, retryOn: 5xx}",
    ],
)
def test_retrying_what_is_safe_or_not_known(fields: str) -> None:
    assert of(fields) == []


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("{abort: {httpStatus: 503, percentage: {value: 100}}}", "is answered with 503 and reaches no server"),
        ("{delay: {fixedDelay: 5s, percentage: {value: 100}}}", "waits 5s"),
        ("{delay: {fixedDelay: 5s, percent: 100}}", "waits 5s"),
    ],
)
def test_a_fault_for_everyone(fault: str, why: str) -> None:
    [line] = of(f"fault: {fault}")
    assert line.startswith("MD0020 7:")
    assert why in line


@pytest.mark.parametrize(
    "fields",
    [
        "fault: {abort: {httpStatus: 503, percentage: {value: 99.9}}}",
        "fault: {delay: {fixedDelay: 5s}}",
        "fault: {abort: {httpStatus: 503, percentage: {value: 100}}}, match: [{headers: {end-user: {exact: jason}}}]",
        "fault: {delay: {fixedDelay: 5s, percentage: {value: 100}}}, match: [{sourceLabels: {app: b}}]",
    ],
)
def test_a_fault_for_some(fields: str) -> None:
    assert of(fields) == []


def test_a_fault_takes_timeout_and_retries_away() -> None:
    [line] = of(
        "timeout: 3s, retries: {attempts: 1, perTryTimeout: 5s}, fault: {abort: {httpStatus: 500, percentage: {value: 1}}}"
    )
    assert line.startswith("MD0021 7:")
    assert "has no timeout and no retries" in line


POOL = "{connectionPool: {tcp: {connectTimeout: 10s}}}"


def test_connecting_takes_longer_than_the_request_may() -> None:
    [line] = of("timeout: 3s", rule(f"{{host: a, trafficPolicy: {POOL}}}"))
    assert line.startswith("MD0022 7:")
    assert "connecting to a.default.svc.cluster.local may take 10s" in line


@pytest.mark.parametrize(
    ("fields", "spec"),
    [
        ("timeout: 11s", f"{{host: a, trafficPolicy: {POOL}}}"),
        ("timeout: 3s, retries: {attempts: 0}", f"{{host: a, trafficPolicy: {POOL}}}"),
        ("timeout: 3s, retries: {perTryTimeout: 1s}", f"{{host: a, trafficPolicy: {POOL}}}"),
        ("timeout: 3s", f"{{host: b, trafficPolicy: {POOL}}}"),
        ("timeout: 3s", "{host: a, trafficPolicy: {tls: {mode: DISABLE}}}"),
        ("name: r", f"{{host: a, trafficPolicy: {POOL}}}"),
    ],
)
def test_connecting_in_time(fields: str, spec: str) -> None:
    assert of(fields, rule(spec)) == []


def test_nothing_to_say() -> None:
    assert codes(route_times, virtual_service(TO)) == []
