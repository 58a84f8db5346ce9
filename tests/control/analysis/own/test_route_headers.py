"""Header edits without effect, hosts that are kept, origins let in too freely."""

from __future__ import annotations

import pytest

from meshd.control.analysis.own.route_headers import route_headers
from tests.control.analysis.cases import text
from tests.control.analysis.own.cases import codes, lines, virtual_service

TO = "route: [{destination: {host: a}}]"
TWO = "route: [{destination: {host: a}, headers: {request: {set: {%s: v}}}}, {destination: {host: b}, weight: 1}]"


@pytest.mark.parametrize("name", ["Connection", "transfer-encoding", "content-length"])
def test_removing_what_each_proxy_writes_anew(name: str) -> None:
    [line] = lines(route_headers, virtual_service(f"{TO}, headers: {{response: {{remove: [x, {name}]}}}}"))
    assert line.startswith("MD0026 7:")
    assert f"removing {name} changes nothing" in line


def test_the_host_of_one_of_several() -> None:
    [line] = lines(route_headers, virtual_service(TWO % "Host"))
    assert line.startswith("MD0026 7:")
    assert "the host is rewritten for the whole route" in line


def test_what_the_route_sets_as_well() -> None:
    route = (TWO % "x-a") + ", headers: {request: {set: {X-A: w}}}"
    [line] = lines(route_headers, virtual_service(route))
    assert "x-a is set by the route as well" in line


@pytest.mark.parametrize(
    "fields",
    [
        f"{TO}, headers: {{request: {{set: {{x: v}}, remove: [y]}}}}",
        "route: [{destination: {host: a}, headers: {request: {set: {Host: v}}}}]",
        TWO % "x-a",
        TO,
    ],
)
def test_edits_that_work(fields: str) -> None:
    assert codes(route_headers, virtual_service(fields)) == []


ENTRY = text(
    "ServiceEntry",
    "{hosts: [api.example.com], ports: [{number: 443, name: https, protocol: HTTPS}], resolution: DNS}",
    name="entry",
)
OUT = "route: [{destination: {host: api.example.com}}]"


def test_a_host_of_somebody_else() -> None:
    [line] = lines(route_headers, virtual_service(OUT, hosts="shop.example.org"), ENTRY)
    assert line.startswith("MD0027 7:")
    assert "with the Host of the caller (shop.example.org)" in line
    assert "add rewrite: {authority: api.example.com}" in line


@pytest.mark.parametrize(
    ("route", "hosts"),
    [
        (OUT, "api.example.com"),
        (OUT, "'*.example.com'"),
        (f"{OUT}, rewrite: {{authority: api.example.com}}", "shop.example.org"),
        (f"{OUT}, headers: {{request: {{set: {{host: api.example.com}}}}}}", "shop.example.org"),
        (TO, "shop.example.org"),
    ],
)
def test_a_host_that_is_right(route: str, hosts: str) -> None:
    assert codes(route_headers, virtual_service(route, hosts=hosts), ENTRY) == []


@pytest.mark.parametrize(
    ("origins", "why"),
    [
        ("allowOrigins: [{exact: '*'}]", "every web page"),
        ("allowOrigins: [{regex: '.*'}]", "every web page"),
        ("allowOrigins: [{prefix: 'https://'}]", "every web page"),
        ("allowOrigin: ['*']", "every web page"),
        ("allowOrigins: [{prefix: 'https://a.example'}]", '"https://a.example.evil.example"'),
        (r"allowOrigins: [{regex: 'https://.*example\.com'}]", "only look alike"),
        ("allowOrigins: [{regex: 'https://(a|b).example.com'}]", "only look alike"),
    ],
)
def test_origins_let_in_too_freely(origins: str, why: str) -> None:
    [line] = lines(route_headers, virtual_service(f"{TO}, corsPolicy: {{{origins}, allowCredentials: true}}"))
    assert line.startswith("MD0028 7:")
    assert why in line


@pytest.mark.parametrize(
    "policy",
    [
        "{allowOrigins: [{exact: '*'}]}",
        "{allowOrigins: [{exact: 'https://a.example'}], allowCredentials: true}",
        "{allowOrigins: [{prefix: 'https://a.example:8443'}], allowCredentials: true}",
        r"{allowOrigins: [{regex: 'https://(.*\.)?a\.example'}], allowCredentials: true}",
    ],
)
def test_origins_that_are_meant(policy: str) -> None:
    assert codes(route_headers, virtual_service(f"{TO}, corsPolicy: {policy}")) == []
