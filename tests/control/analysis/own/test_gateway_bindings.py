"""Gateways and the VirtualServices bound to them."""

from __future__ import annotations

import pytest

from meshd.control.analysis.own.gateway_bindings import bindings, hosts_without_routes
from tests.control.analysis.cases import text
from tests.control.analysis.own.cases import codes, lines, service, virtual_service

TO = "route: [{destination: {host: a}}]"
HTTP = "port: {number: 80, name: http, protocol: HTTP}"
HTTPS = "port: {number: 443, name: https, protocol: HTTPS}"
TCP = "port: {number: 9000, name: tcp, protocol: TCP}"
SIMPLE = "tls: {mode: SIMPLE, credentialName: c}"
PASS = "tls: {mode: PASSTHROUGH}"
REDIRECT = "tls: {httpsRedirect: true}"


def gateway(*servers: str, namespace: str = "default") -> str:
    inner = ", ".join(f"{{{server}}}" for server in servers)
    return text("Gateway", f"{{selector: {{a: b}}, servers: [{inner}]}}", name="gw", metadata=f"namespace: {namespace}")


def bound(*routes: str, hosts: str = "a.example", kind: str = "http", more: str = "gateways: [gw]") -> str:
    return virtual_service(*(routes or (TO,)), hosts=hosts, kind=kind, more=more)


def test_a_host_without_routes() -> None:
    found = lines(hosts_without_routes, gateway(f"{HTTP}, hosts: [a.example, b.example]"), bound())
    assert len(found) == 1
    assert found[0].startswith("MD0041 4:")
    assert (
        "whoever calls b.example on port 80 gets 404: no VirtualService that is bound to this gateway has it"
        in found[0]
    )


@pytest.mark.parametrize(
    "documents",
    [
        (gateway(f"{HTTP}, hosts: [b.example]"),),
        (gateway(f"{HTTP}, hosts: [b.example]"), bound(hosts="'*.example.org'")),
        (gateway(f"{HTTP}, hosts: ['other/a.example']"), bound()),
        (gateway(f"{HTTPS}, {PASS}, hosts: ['*.example.org']"), bound()),
    ],
)
def test_more_hosts_without_routes(documents: tuple[str, ...]) -> None:
    assert codes(hosts_without_routes, *documents) == ["MD0041"]


@pytest.mark.parametrize(
    "documents",
    [
        (gateway(f"{HTTP}, hosts: ['*']"), bound()),
        (gateway(f"{HTTP}, hosts: ['default/a.example']"), bound()),
        (gateway(f"{HTTP}, hosts: ['./a.example']"), bound()),
        (gateway(f"{HTTP}, hosts: ['*.example']"), bound()),
        (gateway(f"{HTTP}, hosts: [a.example]"), bound(hosts="'*.example'")),
        (gateway(f"{HTTP}, {REDIRECT}, hosts: [b.example]"), bound()),
        (gateway(f"{HTTPS}, tls: {{mode: AUTO_PASSTHROUGH}}, hosts: ['*.local']"), bound()),
    ],
)
def test_hosts_with_routes(documents: tuple[str, ...]) -> None:
    assert codes(hosts_without_routes, *documents) == []


def test_gateways_that_only_redirect() -> None:
    [line] = lines(bindings, gateway(f"{HTTP}, {REDIRECT}, hosts: ['*']"), bound())
    assert line.startswith("MD0042 11:3 none of these routes is used")


@pytest.mark.parametrize(
    ("server", "kind", "heeded"),
    [
        (f"{HTTPS}, {PASS}", "http", "heed tls rules"),
        (f"{HTTPS}, {SIMPLE}", "tls", "heed http rules"),
        (HTTP, "tcp", "heed http rules"),
        (TCP, "http", "heed tcp rules"),
    ],
)
def test_rules_that_the_gateway_does_not_heed(server: str, kind: str, heeded: str) -> None:
    route = f"match: [{{sniHosts: [a.example]}}], {TO}" if kind == "tls" else TO
    [line] = lines(bindings, gateway(f"{server}, hosts: ['*']"), bound(route, kind=kind))
    assert line.startswith("MD0043 12:3 ")
    assert heeded in line


@pytest.mark.parametrize(
    ("port", "kind"),
    [("name: tcp-x", "http"), ("name: http-x", "tcp"), ("name: https-x", "http"), ("name: grpc", "tls")],
)
def test_rules_that_the_ports_do_not_heed(port: str, kind: str) -> None:
    route = f"match: [{{sniHosts: [a.default.svc.cluster.local]}}], {TO}" if kind == "tls" else TO
    found = lines(bindings, virtual_service(route, hosts="a", kind=kind), service("a", f"{{{port}, port: 80}}"))
    assert [line[:6] for line in found] == ["MD0043"]
    assert "the ports of its hosts" in found[0]


@pytest.mark.parametrize(
    "documents",
    [
        (gateway(f"{HTTP}, hosts: ['*']"), bound()),
        (gateway(f"{HTTP}, {REDIRECT}, hosts: ['*']", f"{HTTPS}, {SIMPLE}, hosts: ['*']"), bound()),
        (gateway(f"{HTTP}, {REDIRECT}, hosts: ['*']"), bound(more="gateways: [gw, mesh]")),
        (gateway(f"{HTTP}, hosts: ['other/*', './*']"), bound()),
        (gateway(f"{HTTP}, hosts: ['*']", f"{TCP}, hosts: ['*']"), bound(kind="tcp")),
        # The gateway is not known, or serves other hosts: said by codes of Istio's.
        (bound(kind="tcp"),),
        (gateway(f"{HTTP}, hosts: [b.example]"), bound(kind="tcp")),
        (virtual_service(TO, hosts="a"), service("a", "{name: http, port: 80}, {name: tcp, port: 81}")),
        (virtual_service(TO, hosts="a"), service("a", "{name: metrics, port: 80}")),
        (virtual_service(TO, hosts="b"), service("a", "{name: tcp, port: 80}")),
        (
            bound(more="gateways: [gw, mesh]", hosts="a"),
            gateway(f"{HTTP}, hosts: ['*']"),
            service("a", "{name: tcp, port: 1}"),
        ),
    ],
)
def test_what_is_heeded(documents: tuple[str, ...]) -> None:
    assert codes(bindings, *documents) == []
