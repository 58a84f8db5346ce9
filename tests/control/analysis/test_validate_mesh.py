"""MeshConfig and MeshNetworks in their ConfigMap."""

from __future__ import annotations

import pytest

from tests.control.analysis.cases import said

HEAD = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n"


def of(part: str, settings: str) -> list[str]:
    lines = "".join(f"    {line}\n" for line in settings.splitlines())
    found = said(f"{HEAD}  {part}: |-\n{lines}")
    return [line for line in found if "MD0002" not in line and not line.startswith("info")]


@pytest.mark.parametrize(
    "settings",
    [
        "{}",
        "trustDomain: a.b\ntrustDomainAliases: [c, d.e]\nconnectTimeout: 1s\nprotocolDetectionTimeout: 0s",
        "defaultConfig: {tracing: {zipkin: {address: '$(HOST_IP):9411'}, sampling: 50}, statsdUdpAddress: '[::1]:1'}",
        "tlsDefaults: {ecdhCurves: [X25519, P-256]}",
        "extensionProviders: [{name: a, envoyExtAuthzHttp: {service: ns/a.b, port: 80}}, {name: b, prometheus: {}}]",
        "serviceSettings: [{settings: {clusterLocal: true}, hosts: ['*.a.b']}]",
        "defaultServiceExportTo: ['~']",
    ],
)
def test_good(settings: str) -> None:
    assert of("mesh", settings) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("proxyListenPort: 0", "data.mesh.proxyListenPort: 0 is not a port"),
        ("proxyHttpPort: 70000", "data.mesh.proxyHttpPort: 70000 is not a port"),
        ("connectTimeout: 2h", "longer than an hour"),
        ("connectTimeout: 0s", "0s is too short"),
        ("protocolDetectionTimeout: 100us", "finer than a millisecond"),
        ("trustDomain: a_b", '"a_b" is not a trust domain'),
        ("trustDomainAliases: ['']", '"" is not a trust domain'),
        ("rootNamespace: A", '"A" is not a namespace'),
        ("defaultServiceExportTo: ['*', a]", "nothing can stand beside it"),
        ("meshMTLS: {ecdhCurves: [P-256]}", "cannot be chosen"),
        ("tlsDefaults: {ecdhCurves: [x, P-256, P-256]}", 'warning data.mesh.tlsDefaults.ecdhCurves[0]: "x"'),
        ("tlsDefaults: {ecdhCurves: [P-256, P-256]}", '"P-256" is here twice'),
        ("serviceSettings: [{hosts: ['a b']}]", '"a b" is not a domain name'),
        ("localityLbSetting: {distribute: [{from: a, to: {b: 99}}]}", "together 99, not 100"),
        ("zoneAwareLbSetting: {minClusterSize: 0}", "minClusterSize is at least 1"),
        ("defaultTrafficPolicy: {connectionPool: {}}", "the connection pool is empty"),
        ("defaultTrafficPolicy: {outlierDetection: {maxEjectionPercent: 101}}", "101 is not a percentage"),
        ("defaultConfig: {drainDuration: 1.5s}", "whole seconds"),
        ("defaultConfig: {statusPort: 0}", "0 is not a port"),
        ("defaultConfig: {configPath: ''}", "the value is empty"),
        ("defaultConfig: {serviceCluster: ''}", "the value is empty"),
        ("defaultConfig: {discoveryAddress: a}", '"a" has no port'),
        ("defaultConfig: {statsdUdpAddress: 'a_b:1'}", '"a_b" is not a domain name'),
        ("defaultConfig: {envoyMetricsService: {address: 'a:b'}}", '"b" is not a port'),
        ("defaultConfig: {tracing: {lightstep: {address: 'a:1'}}}", "accessToken is needed"),
        ("defaultConfig: {tracing: {sampling: 101}}", "101 is not a percentage"),
        ("defaultConfig: {tracing: {tlsSettings: {mode: MUTUAL}}}", "MUTUAL needs a client certificate"),
        ("defaultConfig: {privateKeyProvider: {}}", "exactly one of cryptomb and qat"),
        ("defaultConfig: {privateKeyProvider: {qat: {}}}", "pollDelay is needed"),
        ("defaultConfig: {proxyMetadata: {ISTIO_META_DNS_AUTO_ALLOCATE: 'true'}}", "is deprecated"),
        (
            "extensionProviders: [{prometheus: {}}]",
            "warning MD0005 data.mesh.extensionProviders[0]: the provider has no",
        ),
        ("extensionProviders: [{name: a}]", "exactly one kind of provider is needed, not none"),
        ("extensionProviders: [{name: a, prometheus: {}}, {name: a, prometheus: {}}]", '"a" is here twice'),
        ("extensionProviders: [{name: a, zipkin: {service: a_b/c.d, port: 1}}]", "is not a service and its port"),
        ("extensionProviders: [{name: a, zipkin: {service: c.d}}]", '"c.d" with port 0 is not a service'),
    ],
)
def test_bad(settings: str, message: str) -> None:
    assert any(message in line for line in of("mesh", settings)), of("mesh", settings)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ("endpoints: [{fromCidr: 10.0.0.0/33}]", "is not an IP address or a block"),
        ("endpoints: [{fromRegistry: 'a.b'}]", "is not a registry's name"),
        ("endpoints: [{}]", "either fromCidr or fromRegistry is needed"),
        ("gateways: [{address: 1.1.1.1}]", "0 is not a port"),
        ("gateways: [{address: 'a b', port: 1}]", '"a b" is not a domain name'),
        ("gateways: [{registryServiceName: 'a b', port: 1}]", '"a b" is not a domain name'),
    ],
)
def test_networks(network: str, message: str) -> None:
    found = of("meshNetworks", f"networks: {{n: {{{network}}}}}")
    assert any(message in line for line in found), found


def test_good_networks() -> None:
    good = "endpoints: [{fromRegistry: a}, {fromCidr: 10.0.0.0/8}], gateways: [{address: 1.1.1.1, port: 443}]"
    assert of("meshNetworks", f"networks: {{n: {{{good}}}}}") == []
