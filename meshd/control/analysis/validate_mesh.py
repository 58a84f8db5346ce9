"""MeshConfig and MeshNetworks alone, as the ConfigMap ``istio`` holds them. Pure.

Source of the rules: Istio's ``pkg/config/validation/agent``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from meshd.api.document import Document, Path
from meshd.api.kubernetes import ConfigMap
from meshd.api.mesh.config import MeshConfig, TLSConfig
from meshd.api.mesh.networks import IstioNetworkGateway, MeshNetworks
from meshd.api.mesh.providers import ExtensionProvider
from meshd.api.mesh.proxy import PrivateKeyProvider, ProxyConfig, Tracing
from meshd.api.problem import FIELD_WITHOUT_EFFECT, Problem, error, warning
from meshd.control.analysis import checks, selection
from meshd.control.analysis.validate_load_balancer import locality, zone_aware
from meshd.control.analysis.validate_traffic_policy import client_tls, connection_pool, outlier_detection

LONGEST_CONNECT = 3600.0
"""Seconds."""

ECDH_CURVES = ("P-224", "P-256", "P-521", "P-384", "X25519", "CECPQ2", "X25519MLKEM768")
"""BoringSSL's names of the curves it has."""

DNS_AUTO_ALLOCATE = "ISTIO_META_DNS_AUTO_ALLOCATE"
_HOST_IP = "$(HOST_IP)"
_PORTS = ("proxyListenPort", "proxyInboundListenPort")


def validate(document: Document) -> Iterator[Problem]:
    """Istio's rules for the mesh's own settings, where a ConfigMap holds them."""
    settings: ConfigMap = document.resource
    if settings.mesh is not None:
        yield from mesh_config(settings.mesh, ("data", "mesh"), document.namespace)
    if settings.meshNetworks is not None:
        yield from mesh_networks(settings.meshNetworks, ("data", "meshNetworks"))


def mesh_config(mesh: MeshConfig, path: Path, namespace: str) -> Iterator[Problem]:
    """Istio's rules for a MeshConfig."""
    for name in _PORTS:
        yield from checks.port(getattr(mesh, name), (*path, name))
    if mesh.proxyHttpPort:
        yield from checks.port(mesh.proxyHttpPort, (*path, "proxyHttpPort"))
    yield from checks.duration(mesh.connectTimeout, (*path, "connectTimeout"))
    if mesh.connectTimeout > LONGEST_CONNECT:
        yield error((*path, "connectTimeout"), "to wait for a connection longer than an hour makes no sense")
    yield from checks.duration(mesh.protocolDetectionTimeout, (*path, "protocolDetectionTimeout"), least=0.0)
    yield from _proxy(mesh.defaultConfig, (*path, "defaultConfig"), namespace)
    yield from locality(mesh.localityLbSetting, (*path, "localityLbSetting"), ejects=True)
    if mesh.zoneAwareLbSetting is not None:
        yield from zone_aware(mesh.zoneAwareLbSetting, (*path, "zoneAwareLbSetting"), ejects=True)
    for index, settings in enumerate(mesh.serviceSettings):
        for at, host in enumerate(settings.hosts):
            yield from checks.wildcard_host(host, (*path, "serviceSettings", index, "hosts", at))
    yield from _trust_domain(mesh.trustDomain, (*path, "trustDomain"))
    for index, alias in enumerate(mesh.trustDomainAliases):
        yield from _trust_domain(alias, (*path, "trustDomainAliases", index))
    yield from checks.namespace(mesh.rootNamespace, (*path, "rootNamespace"))
    for name in ("defaultServiceExportTo", "defaultVirtualServiceExportTo", "defaultDestinationRuleExportTo"):
        yield from selection.export_to(getattr(mesh, name), (*path, name), "", none_allowed=True)
    yield from _tls(mesh, path)
    if mesh.defaultTrafficPolicy is not None:
        here = (*path, "defaultTrafficPolicy")
        if mesh.defaultTrafficPolicy.connectionPool is not None:
            yield from connection_pool(mesh.defaultTrafficPolicy.connectionPool, (*here, "connectionPool"))
        if mesh.defaultTrafficPolicy.outlierDetection is not None:
            yield from outlier_detection(mesh.defaultTrafficPolicy.outlierDetection, (*here, "outlierDetection"))
    yield from _providers(mesh.extensionProviders, (*path, "extensionProviders"))


def _trust_domain(domain: str, path: Path) -> Iterator[Problem]:
    labels = domain.removesuffix(".").split(".")
    if not domain or not all(checks.LABEL.fullmatch(label) for label in labels):
        yield error(path, f'"{domain}" is not a trust domain, such as cluster.local')


def _tls(mesh: MeshConfig, path: Path) -> Iterator[Problem]:
    if mesh.meshMTLS is not None and mesh.meshMTLS.ecdhCurves:
        yield error((*path, "meshMTLS", "ecdhCurves"), "the curves of mesh mTLS cannot be chosen: leave them out")
    if mesh.tlsDefaults is not None:
        yield from _curves(mesh.tlsDefaults, (*path, "tlsDefaults", "ecdhCurves"))


def _curves(tls: TLSConfig, path: Path) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, curve in enumerate(tls.ecdhCurves):
        if curve and curve not in ECDH_CURVES:
            yield warning((*path, index), f'"{curve}" is not a curve that proxies know: it is left out', at_value=True)
        elif curve in seen:
            yield warning((*path, index), f'"{curve}" is here twice', at_value=True)
        seen.add(curve)


def _proxy(proxy: ProxyConfig, path: Path, namespace: str) -> Iterator[Problem]:
    for name in ("configPath", "binaryPath", "discoveryAddress"):
        if not getattr(proxy, name):
            yield error((*path, name), "the value is empty: leave the field out for the default")
    if proxy.serviceCluster == "":
        yield error((*path, "serviceCluster"), "the value is empty: leave the field out")
    yield from checks.duration(proxy.drainDuration, (*path, "drainDuration"))
    if proxy.drainDuration >= checks.SHORTEST_DURATION and not float(proxy.drainDuration).is_integer():
        yield error((*path, "drainDuration"), "draining is counted in whole seconds")
    addresses = [
        ("discoveryAddress", proxy.discoveryAddress),
        ("statsdUdpAddress", proxy.statsdUdpAddress),
        ("envoyMetricsServiceAddress", proxy.envoyMetricsServiceAddress),
    ]
    for name, text in addresses:
        if text:
            yield from _address(text, (*path, name))
    for name in ("envoyMetricsService", "envoyAccessLogService"):
        service = getattr(proxy, name)
        if service is not None and service.address:
            yield from _address(service.address, (*path, name, "address"))
    for name in ("proxyAdminPort", "statusPort"):
        yield from checks.port(getattr(proxy, name), (*path, name))
    if proxy.tracing is not None:
        yield from _tracing(proxy.tracing, (*path, "tracing"), namespace)
    if proxy.privateKeyProvider is not None:
        yield from _key_provider(proxy.privateKeyProvider, (*path, "privateKeyProvider"))
    if DNS_AUTO_ALLOCATE in proxy.proxyMetadata:
        yield warning(
            (*path, "proxyMetadata", DNS_AUTO_ALLOCATE),
            f"{DNS_AUTO_ALLOCATE} is deprecated: addresses are allocated without it, and ServiceEntries say "
            "themselves when they want none",
        )


def _address(text: str, path: Path) -> Iterator[Problem]:
    """``host:port``."""
    host, colon, port = text.rpartition(":")
    plain = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon:
        yield error(path, f'"{text}" has no port: write HOST:PORT')
        return
    yield from checks.port_text(port, path)
    if not checks.is_address(plain):
        yield from checks.fqdn(plain, path)


def _tracing(tracing: Tracing, path: Path, namespace: str) -> Iterator[Problem]:
    for name in ("zipkin", "datadog", "lightstep"):
        tracer = getattr(tracing, name)
        if tracer is not None:
            yield from _address(tracer.address.replace(_HOST_IP, "127.0.0.1", 1), (*path, name, "address"))
    if tracing.lightstep is not None and not tracing.lightstep.accessToken:
        yield error((*path, "lightstep"), "accessToken is needed", at_value=False)
    if tracing.tlsSettings is not None:
        yield from client_tls(tracing.tlsSettings, (*path, "tlsSettings"), namespace=namespace, private=True)
    if not 0 <= tracing.sampling <= 100:
        yield error((*path, "sampling"), f"{tracing.sampling:g} is not a percentage: 0 to 100")


def _key_provider(provider: PrivateKeyProvider, path: Path) -> Iterator[Problem]:
    given = [name for name in ("cryptomb", "qat") if getattr(provider, name) is not None]
    if len(given) != 1:
        yield error(path, "exactly one of cryptomb and qat is needed", at_value=False)
    for name in given:
        delay = getattr(provider, name).pollDelay
        if not delay:
            yield error((*path, name), "pollDelay is needed, and not 0", at_value=False)


_REMOTE = (
    *("envoyExtAuthzHttp", "envoyExtAuthzGrpc", "zipkin", "lightstep", "datadog", "opencensus", "skywalking"),
    *("opentelemetry", "envoyHttpAls", "envoyTcpAls", "envoyOtelAls"),
)
"""Providers that are a service with a port."""


def _providers(providers: Sequence[ExtensionProvider], path: Path) -> Iterator[Problem]:
    """What is wrong with a provider hurts only those who name it, so Istio says it in a log; these are warnings."""
    seen: set[str] = set()
    kinds = [field.name for field in attrs.fields(ExtensionProvider) if field.name != "name"]
    for index, provider in enumerate(providers):
        here = (*path, index)
        if not provider.name:
            yield _useless(here, "the provider has no name, so nobody can name it")
        elif provider.name in seen:
            yield _useless((*here, "name"), f'the provider "{provider.name}" is here twice: the later one counts')
        seen.add(provider.name)
        given = [kind for kind in kinds if getattr(provider, kind) is not None]
        if len(given) != 1:
            yield _useless(here, f"exactly one kind of provider is needed, not {' and '.join(given) or 'none'}")
        for kind in given:
            if kind in _REMOTE:
                yield from _remote(getattr(provider, kind).service, getattr(provider, kind).port, (*here, kind))


def _remote(service: str, port: int, path: Path) -> Iterator[Problem]:
    """``[namespace/]host`` and a port."""
    space, slash, host = service.rpartition("/")
    found = [*checks.fqdn(host, ()), *checks.port(port, ())]
    if slash:
        found += checks.namespace(space, ())
    if found:
        yield _useless(path, f'"{service}" with port {port} is not a service and its port: {found[0].message}')


def _useless(path: Path, message: str) -> Problem:
    return warning(path, message, code=FIELD_WITHOUT_EFFECT)


def mesh_networks(networks: MeshNetworks, path: Path) -> Iterator[Problem]:
    """Istio's rules for MeshNetworks."""
    for name, network in networks.networks.items():
        here = (*path, "networks", name)
        for index, endpoints in enumerate(network.endpoints):
            at = (*here, "endpoints", index)
            if (endpoints.fromCidr is None) == (endpoints.fromRegistry is None):
                yield error(at, "either fromCidr or fromRegistry is needed", at_value=False)
            if endpoints.fromCidr is not None:
                yield from checks.subnet(endpoints.fromCidr, (*at, "fromCidr"))
            if endpoints.fromRegistry is not None and not checks.LABEL.fullmatch(endpoints.fromRegistry):
                yield error((*at, "fromRegistry"), f'"{endpoints.fromRegistry}" is not a registry\'s name')
        for index, gateway in enumerate(network.gateways):
            yield from _gateway(gateway, (*here, "gateways", index))


def _gateway(gateway: IstioNetworkGateway, path: Path) -> Iterator[Problem]:
    if gateway.registryServiceName is not None:
        yield from checks.fqdn(gateway.registryServiceName, (*path, "registryServiceName"))
    if gateway.address is not None and not checks.is_address(gateway.address):
        yield from checks.fqdn(gateway.address, (*path, "address"))
    yield from checks.port(gateway.port, (*path, "port"))
