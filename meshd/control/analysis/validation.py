"""Each document alone: which rules are for which kind. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from meshd.api.document import Document
from meshd.api.kubernetes import ConfigMap, Endpoints, EndpointSlice, Service
from meshd.api.networking.destination_rule import DestinationRule
from meshd.api.networking.gateway import Gateway
from meshd.api.networking.service_entry import ServiceEntry
from meshd.api.networking.virtual_service import VirtualService
from meshd.api.networking.workload_entry import WorkloadEntry
from meshd.api.problem import Problem
from meshd.api.security import AuthorizationPolicy, PeerAuthentication
from meshd.control.analysis import (
    checks,
    validate_destination_rule,
    validate_gateway,
    validate_kubernetes,
    validate_security,
    validate_service_entry,
    validate_virtual_service,
)

VALIDATORS: dict[type, Callable[[Document], Iterator[Problem]]] = {
    VirtualService: validate_virtual_service.validate,
    DestinationRule: validate_destination_rule.validate,
    Gateway: validate_gateway.validate,
    ServiceEntry: validate_service_entry.validate,
    WorkloadEntry: validate_service_entry.validate_workload,
    PeerAuthentication: validate_security.validate_peer_authentication,
    AuthorizationPolicy: validate_security.validate_authorization_policy,
    Service: validate_kubernetes.validate_service,
    ConfigMap: validate_kubernetes.validate_config_map,
    Endpoints: validate_kubernetes.validate_endpoints,
    EndpointSlice: validate_kubernetes.validate_endpoint_slice,
}
"""Kinds that are not here (Secret, Namespace) have no rules beyond their structure."""

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
    validator = VALIDATORS.get(type(document.resource))
    if validator is not None:
        yield from validator(document)
