"""ServiceEntries."""

from __future__ import annotations

import pytest

from meshd.control.analysis.istio.service_entries import addresses, protocols
from tests.control.analysis.istio.cases import ask, istio, join, mesh, said


def entry(name: str = "e", port: str = "TCP", *, others: str = "", where: str = "default", metadata: str = "") -> str:
    protocol = f", protocol: {port}" if port else ""
    spec = f"{{hosts: [a.example.com], ports: [{{number: 80, name: p{protocol}}}], resolution: DNS{others}}}"
    return istio("ServiceEntry", name, spec, namespace=where, metadata=metadata)


@pytest.mark.parametrize(
    ("port", "needed"), [("TCP", True), ("", True), ("HTTP", False), ("TLS", False), ("HTTPS", False)]
)
def test_addresses(port: str, needed: bool) -> None:
    assert said(addresses, entry(port=port)) == (["IST0134 ServiceEntry default/e 4"] if needed else [])


def test_addresses_are_given_or_allocated() -> None:
    assert said(addresses, entry(others=", addresses: [10.0.0.1]")) == []
    label = "labels: {networking.istio.io/enable-autoallocate-ip: 'true'}"
    assert said(addresses, entry(metadata=label)) == []
    both = "defaultConfig: {proxyMetadata: {ISTIO_META_DNS_CAPTURE: 'true', ISTIO_META_DNS_AUTO_ALLOCATE: 'true'}}"
    assert said(addresses, join(entry(), mesh(both))) == []
    one = "defaultConfig: {proxyMetadata: {ISTIO_META_DNS_CAPTURE: 'true'}}"
    assert len(said(addresses, join(entry(), mesh(one)))) == 1
    assert len(said(addresses, join(entry(), mesh("defaultConfig: {}")))) == 1


@pytest.mark.parametrize(
    ("one", "two", "conflict"),
    [
        ("", "", True),
        (", exportTo: ['.']", "", True),
        (", exportTo: ['.']", ", exportTo: ['.']", False),
        (", exportTo: ['.', there]", ", exportTo: ['.']", True),
        (", exportTo: [x]", ", exportTo: [x, z]", True),
    ],
)
def test_protocols(one: str, two: str, conflict: bool) -> None:
    source = join(entry("one", "HTTP", others=one), entry("two", "tcp", others=two, where="there"))
    found = ask(protocols, source)
    expected = ["ServiceEntry default/one", "ServiceEntry there/two"] if conflict else []
    assert [each.resource for each in found] == expected
    assert all(each.code == "IST0177" and "HTTP, TCP" in each.message for each in found)


def test_protocols_that_agree() -> None:
    assert said(protocols, join(entry("one", "HTTP"), entry("two", "http"))) == []
