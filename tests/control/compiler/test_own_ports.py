"""Listeners with a port of their own: those that cannot be bound are not in the snapshot."""

from __future__ import annotations

import pytest

from meshd.control.scope import Scope
from tests.control.compiler.rendering import compiled

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: reviews}
spec: {ports: [{port: 9080, name: http}], selector: {app: reviews}}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: one}
spec: {SPEC}
"""
SCOPE = Scope(labels=(("app", "reviews"),), app_ports=(9080,), address="10.0.0.1")
OWN = ["virtualInbound", "virtualOutbound"]


def bound(spec: str) -> list[str]:
    snapshot = compiled(SERVICE.replace("{SPEC}", f"{{{spec}}}"), SCOPE)
    return [
        f"{each.name} {each.host}:{each.port}" if each.name not in OWN else each.name
        for each in snapshot.listeners
        if each.bound
    ]


def ingress(port: int, bind: str = "") -> str:
    return f"{{port: {{number: {port}, protocol: HTTP, name: http}}, bind: '{bind}', captureMode: NONE}}"


def egress(port: int, bind: str = "") -> str:
    more = f"port: {{number: {port}, protocol: HTTP, name: http}}, bind: '{bind}', captureMode: NONE"
    return f"{{{more}, hosts: ['*/*']}}"


@pytest.mark.parametrize("port", [15000, 15001, 15006, 15021, 15090])
def test_the_proxy_s_own_ports_stay_its_own(port: int) -> None:
    assert bound(f"ingress: [{ingress(port)}]") == OWN
    assert bound(f"egress: [{egress(port)}]") == OWN


def test_other_ports_are_to_be_had() -> None:
    assert len(bound(f"ingress: [{ingress(9080)}]")) == 3
    assert len(bound(f"egress: [{egress(9080)}]")) == 3
    assert len(bound(f"ingress: [{ingress(9080)}], egress: [{egress(9080, '127.0.0.1')}]")) == 4


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("0.0.0.0", "0.0.0.0"),
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("10.0.0.1", "0.0.0.0"),
        ("::", "::1"),
    ],
)
def test_two_at_one_address_are_one(one: str, other: str) -> None:
    assert len(bound(f"ingress: [{ingress(9080, one)}], egress: [{egress(9080, other)}]")) == 3
