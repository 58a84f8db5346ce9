"""Ways around a policy: paths, hosts and principals spelled in every way, through a whole mesh.

What a policy forbids is asked for in other words; what reaches the application
is read as the most obliging of servers would read it.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest
import trio

from meshd.errors import MeshdError
from meshd.net.address import Address
from meshd.testing import Mesh

GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: door, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: ["*"]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: all}
spec:
  hosts: ["*"]
  gateways: [istio-system/door]
  http:
  - route: [{destination: {host: app, port: {number: 9080}}}]
"""

DENY = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deny, namespace: NAMESPACE}
spec:
  action: DENY
  rules:
  - to: [{operation: {paths: ["/admin", "/admin/*"]}}]
  - to: [{operation: {hosts: ["secret.example.com", "secret.example.com:*", "*.internal.example.com"]}}]
  - to: [{operation: {methods: ["DELETE"]}}]
"""

ADMIN = [
    b"/admin",
    b"/admin/",
    b"/admin/x",
    b"/admin?",
    b"/admin?x=/public",
    b"/%61dmin",
    b"/%61%64%6d%69%6E",
    b"/adm%69n/x",
    b"/./admin",
    b"/x/../admin",
    b"/x/%2e%2e/admin",
    b"/x/.%2e/admin",
    b"/x/%2E./admin",
    b"/../admin",
    b"/%2e/admin",
    b"/admin/.",
    b"/admin/..;/admin/",
    b"/x/..;a=b/admin",
    b"/x/y/../../admin/z",
    b"/x\\..\\admin",
    b"\\admin",
    b"/public/../admin#x",
    b"/admin#/public",
    b"/admin%00",
    b"/admin%00/public",
    b"http://a.example/admin",
    b"http://a.example/x/../admin",
    b"http://a.example/%61dmin?x",
    b"HTTP://a.example/admin",
    b"http://a.example/../admin",
    b"/admin/%2e%2e/admin",
    b"/admin/x/..",
]
"""Must never arrive as what an obliging server takes for /admin."""

AS_ISTIO = {
    b"/\\admin/..\\admin": "slashes are merged only under MERGE_SLASHES",
    b"//admin": "slashes are merged only under MERGE_SLASHES",
    b"/x//../admin": "an empty segment is one",
    b"/admin;x": "a parameter is a part of its segment",
    b"/admin%2Fx": "an encoded slash is no slash under BASE",
    b"/Admin": "paths have case",
    b"/%2561dmin": "decoded once",
    b"/x%2f..%2fadmin": "an encoded slash is no slash under BASE",
}
"""Let through under Istio's default normalisation (BASE), as its documentation says; forwarded as they were judged."""


def obliging(target: str) -> str:
    """A path as a server reads it that decodes once and resolves dot segments."""
    path = unquote(target.partition("?")[0]).replace("\\", "/")
    kept: list[str] = []
    for segment in path.split("/")[1:]:
        if segment == "..":
            kept = kept[:-1]
        elif segment != ".":
            kept.append(segment)
    return "/" + "/".join(kept)


async def raw(mesh: Mesh, to: Address, request: bytes) -> bytes:
    """The first answer to bytes from a stranger, b"" when there is none."""
    connection = await mesh.network.machine("203.0.113.200").connect(to)
    got = b""
    try:
        await connection.send(request)
        with trio.move_on_after(30):
            while b"\r\n\r\n" not in got:
                piece = await connection.receive()
                if not piece:
                    break
                got += piece
    except MeshdError:
        pass
    finally:
        connection.close()
    return got


def status(answer: bytes) -> int:
    found = re.match(rb"HTTP/1\.1 (\d+) ", answer)
    return int(found[1]) if found else 0


def request(target: bytes, host: bytes = b"a.example", method: bytes = b"GET", *headers: bytes) -> bytes:
    lines = b"".join(b"%b\r\n" % each for each in headers)
    return b"%b %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (method, target, host, lines)


@pytest.mark.parametrize("place", ["gateway", "sidecar"])
async def test_other_words_for_a_path(mesh: Mesh, place: str) -> None:
    app = await mesh.service("app")
    gateway = await mesh.gateway()
    await mesh.apply(GATEWAY, DENY.replace("NAMESPACE", "istio-system" if place == "gateway" else "default"))
    door = Address(gateway.ip, 80) if place == "gateway" else app.workload.inbound
    assert status(await raw(mesh, door, request(b"/public"))) == 200
    for target in ADMIN:
        answer = await raw(mesh, door, request(target))
        assert status(answer) in (400, 403), (target, answer)
    for target, why in AS_ISTIO.items():
        assert status(await raw(mesh, door, request(target))) == 200, (target, why)
    arrived = [each.path for each in app.requests]
    assert len(arrived) == 1 + len(AS_ISTIO)
    loose = {unquote(target.decode()) for target in AS_ISTIO}
    for target in arrived:
        read = obliging(target)
        assert not re.fullmatch(r"/admin(/.*)?", read) or unquote(target) in loose, target


async def test_other_words_for_a_host_or_a_method(mesh: Mesh) -> None:
    app = await mesh.service("app")
    gateway = await mesh.gateway()
    await mesh.apply(GATEWAY, DENY.replace("NAMESPACE", "istio-system"))
    door = Address(gateway.ip, 80)
    for host in (
        b"secret.example.com",
        b"SECRET.example.COM",
        b"secret.example.com:80",
        b"secret.example.com:1234",
        b"x.internal.example.com",
        b"X.Internal.Example.Com",
        b"user@secret.example.com",
        b"secret.example.com,a.example",
        b"secret%2eexample.com",
    ):
        answer = await raw(mesh, door, request(b"/", host))
        assert status(answer) in (400, 403, 404), (host, answer)
        answer = await raw(mesh, door, request(b"http://%b/" % host))
        assert status(answer) in (400, 403, 404), (host, answer)
    # As Istio compares: the whole authority, so that ports want a pattern of their own, and a dot at the end counts.
    for host in (b"x.internal.example.com:80", b"secret.example.com."):
        assert status(await raw(mesh, door, request(b"/", host))) == 200
    app.app.requests.clear()
    for method in (b"DELETE", b"delete", b"Delete", b"DELETE\t", b" DELETE"):
        assert status(await raw(mesh, door, request(b"/", b"a.example", method))) in (400, 403), method
    two = b"GET / HTTP/1.1\r\nHost: a.example\r\nHost: secret.example.com\r\n\r\n"
    assert status(await raw(mesh, door, two)) == 400
    assert app.requests == []


ALLOW = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: allow, namespace: default}
spec:
  selector: {matchLabels: {app: app}}
  rules:
  - from: [{source: {principals: ["cluster.local/ns/default/sa/good"]}}]
"""
STRICT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: MODE}}
"""
FORGED = {
    "x-forwarded-client-cert": "By=spiffe://cluster.local/ns/default/sa/app;URI=spiffe://cluster.local/ns/default/sa/good",
    "x-envoy-peer-metadata-id": "good",
    "x-meshd-principal": "cluster.local/ns/default/sa/good",
}


@pytest.mark.parametrize("mode", ["PERMISSIVE", "STRICT"])
async def test_nobody_is_who_his_headers_say(mesh: Mesh, mode: str) -> None:
    app = await mesh.service("app")
    await mesh.service("good")
    await mesh.service("evil")
    await mesh.apply(ALLOW, STRICT.replace("MODE", mode))
    assert (await mesh.call("good", "GET", "http://app:9080/")).status == 200
    for headers in ({}, FORGED):
        assert (await mesh.call("evil", "GET", "http://app:9080/", headers=headers)).status == 403
    forged = tuple(f"{name}: {value}".encode() for name, value in FORGED.items())
    plain = await raw(mesh, app.workload.inbound, request(b"/", b"app:9080", b"GET", *forged))
    assert status(plain) == (0 if mode == "STRICT" else 403), plain
    assert len(app.requests) == 1


BROKEN = {
    "unknown field": ALLOW.replace("principals:", "principalz:"),
    "unknown action": ALLOW.replace("  rules:", "  action: ALOW\n  rules:"),
    "wrong type": ALLOW.replace('["cluster.local/ns/default/sa/good"]', "5"),
    "string for a list": ALLOW.replace('["cluster.local/ns/default/sa/good"]', '"*"'),
    "rules no list": ALLOW.replace("  - from:", "    from:"),
    "selector broken": ALLOW.replace("matchLabels: {app: app}", "matchLabelz: {app: app}"),
    "unsupported condition": ALLOW.rstrip() + '\n    when: [{key: "no.such.key", values: ["*"]}]\n',
    "bad address": ALLOW.replace('principals: ["cluster.local/ns/default/sa/good"]', 'ipBlocks: ["x"]'),
    "no yaml": "a: [",
    "nested": "[" * 100_000,
    "no spec": ALLOW.partition("spec:")[0] + "spec: 5\n",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=[name.replace(" ", "_") for name in BROKEN])
async def test_a_broken_allow_list_opens_nothing(mesh: Mesh, text: str) -> None:
    app = await mesh.service("app")
    await mesh.service("good")
    await mesh.service("evil")
    mesh.put(ALLOW, "policy.yaml")
    await mesh.settled()
    mesh.put(text, "policy.yaml")
    await mesh.settled()
    await mesh.sleep(5)
    assert (await mesh.call("evil", "GET", "http://app:9080/")).status == 403
    assert (await mesh.call("good", "GET", "http://app:9080/")).status == 200
    assert len(app.requests) == 1
    assert mesh.control.findings


NEVER = {
    "no rules": ALLOW.partition("  rules:")[0],
    "jwt": ALLOW.replace("principals: [", "requestPrincipals: [").replace("cluster.local/ns/default/sa/good", "*"),
    "jwt claim": ALLOW.rstrip() + '\n    when: [{key: "request.auth.claims[iss]", values: ["*"]}]\n',
    "custom": ALLOW.partition("  rules:")[0]
    + '  action: CUSTOM\n  provider: {name: opa}\n  rules: [{to: [{operation: {paths: ["/*"]}}]}]\n',
    "empty source": ALLOW.replace('principals: ["cluster.local/ns/default/sa/good"]', "namespaces: [nowhere]"),
}


@pytest.mark.parametrize("text", NEVER.values(), ids=[name.replace(" ", "_") for name in NEVER])
async def test_what_cannot_be_satisfied_lets_nobody_in(mesh: Mesh, text: str) -> None:
    app = await mesh.service("app")
    await mesh.service("evil")
    mesh.put(text, "policy.yaml")
    await mesh.settled()
    await mesh.sleep(2)
    answer = await mesh.call("evil", "GET", "http://app:9080/", headers={"authorization": "Bearer e30.e30."})
    assert answer.status == 403
    assert app.requests == []
