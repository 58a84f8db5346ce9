"""Each document alone: which rules are for which kind. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from meshd.api.document import Document
from meshd.api.kubernetes import ConfigMap, Endpoints, EndpointSlice, Service
from meshd.api.networking.destination_rule import DestinationRule
from meshd.api.networking.gateway import Gateway
from meshd.api.networking.proxy_config import ProxyConfig
from meshd.api.networking.service_entry import ServiceEntry
from meshd.api.networking.sidecar import Sidecar
from meshd.api.networking.virtual_service import VirtualService
from meshd.api.networking.workload_entry import WorkloadEntry
from meshd.api.networking.workload_group import WorkloadGroup
from meshd.api.problem import Problem, error
from meshd.api.security import AuthorizationPolicy, PeerAuthentication, RequestAuthentication
from meshd.api.telemetry import Telemetry
from meshd.control.analysis import (
    checks,
    validate_authentication,
    validate_authorization,
    validate_destination_rule,
    validate_envoy_filter,
    validate_extensions,
    validate_gateway,
    validate_gateway_api,
    validate_kubernetes,
    validate_mesh,
    validate_service_entry,
    validate_sidecar,
    validate_telemetry,
    validate_virtual_service,
    validate_workload,
)
from meshd.control.analysis.validate_authorization import DRY_RUN

VALIDATORS: dict[type, Callable[[Document], Iterator[Problem]]] = {
    VirtualService: validate_virtual_service.validate,
    DestinationRule: validate_destination_rule.validate,
    Gateway: validate_gateway.validate,
    ServiceEntry: validate_service_entry.validate,
    WorkloadEntry: validate_workload.validate_workload,
    WorkloadGroup: validate_workload.validate_workload_group,
    Sidecar: validate_sidecar.validate,
    ProxyConfig: validate_telemetry.validate_proxy_config,
    PeerAuthentication: validate_authentication.validate_peer_authentication,
    RequestAuthentication: validate_authentication.validate_request_authentication,
    AuthorizationPolicy: validate_authorization.validate,
    Telemetry: validate_telemetry.validate,
    Service: validate_kubernetes.validate_service,
    ConfigMap: validate_mesh.validate,
    Endpoints: validate_kubernetes.validate_endpoints,
    EndpointSlice: validate_kubernetes.validate_endpoint_slice,
    **validate_gateway_api.VALIDATORS,
}
"""Kinds that are not here (Secret, Namespace) have no rules beyond their structure."""

FOREIGN: dict[tuple[str, str], Callable[[Document], Iterator[Problem]]] = {
    ("networking.istio.io", "EnvoyFilter"): validate_envoy_filter.validate,
    ("extensions.istio.io", "WasmPlugin"): validate_extensions.validate_wasm_plugin,
    ("extensions.istio.io", "TrafficExtension"): validate_extensions.validate_traffic_extension,
}
"""Kinds of Istio's that are kept as they were written, by group and name."""

MOST_PROBLEMS = 100
"""Of one document. Whoever has that many mistakes mends the first ones first."""


def validate(document: Document) -> tuple[Problem, ...]:
    """Everything that is wrong with one document, whatever the others say."""
    found: list[Problem] = []
    for problem in _all(document):
        found.append(problem)
        if len(found) == MOST_PROBLEMS:
            break
    return tuple(found)


def _all(document: Document) -> Iterator[Problem]:
    yield from checks.object_name(document.name, ("metadata", "name"))
    if document.namespace:
        yield from checks.namespace(document.namespace, ("metadata", "namespace"))
    yield from checks.labels(document.labels, ("metadata", "labels"))
    if DRY_RUN in document.annotations and document.kind != "AuthorizationPolicy" and _is_istio(document):
        yield error(
            ("metadata", "annotations", DRY_RUN), f"only an AuthorizationPolicy can be tried: take {DRY_RUN} away"
        )
    validator = VALIDATORS.get(type(document.resource))
    if validator is None:
        validator = FOREIGN.get((document.api_version.partition("/")[0], document.kind))
    if validator is not None:
        yield from validator(document)


def _is_istio(document: Document) -> bool:
    return document.api_version.partition("/")[0].endswith(".istio.io")
