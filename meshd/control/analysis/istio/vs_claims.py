"""Routing by the claims of a token, which somebody must have verified. Pure.

Source: Istio's ``analyzers/virtualservice/jwtclaimroute.go``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from meshd.api.document import Document, Path
from meshd.api.networking.gateway import Gateway
from meshd.api.networking.virtual_service import VirtualService
from meshd.api.problem import Problem, error
from meshd.api.security import RequestAuthentication
from meshd.control.analysis.facts import Facts, told
from meshd.control.analysis.istio.vs_gateways import MESH, gateway_key
from meshd.control.analysis.validate_http_match import CLAIM_PREFIX
from meshd.control.finding import Finding
from meshd.control.workloads import selects

NOT_AUTHENTICATED = "IST0149"


def claim_routes(facts: Facts) -> Iterable[Finding]:
    """Claims in matches of gateways whose workloads verify no tokens."""
    selectors: dict[str, list[Mapping[str, str]]] = {}
    for document in facts.all(RequestAuthentication):
        selector = document.resource.selector
        selectors.setdefault(document.namespace, []).append(selector.matchLabels if selector is not None else {})
    gateways = {(document.namespace, document.name): document.resource for document in facts.all(Gateway)}
    for document in facts.all(VirtualService):
        found = next(_claims(document.resource), None)
        if found is not None:
            yield from told(document, _unverified(facts, document, found, gateways, selectors))


def _claims(service: VirtualService) -> Iterator[tuple[Path, str]]:
    """The matches on claims."""
    for index, route in enumerate(service.http):
        for at, match in enumerate(route.match):
            for field in ("headers", "withoutHeaders"):
                for name in getattr(match, field):
                    if name.startswith(CLAIM_PREFIX):
                        yield ("spec", "http", index, "match", at, field, name), name


def _unverified(
    facts: Facts,
    document: Document,
    claim: tuple[Path, str],
    gateways: Mapping[tuple[str, str], Gateway],
    selectors: Mapping[str, list[Mapping[str, str]]],
) -> Iterator[Problem]:
    path, name = claim
    for written in document.resource.gateways:
        key = gateway_key(written, document.namespace)
        gateway = gateways.get(key)
        if written == MESH or gateway is None:
            continue
        for known in facts.pods.select(gateway.selector):
            asked = (*selectors.get(facts.mesh.root_namespace, ()), *selectors.get(known.namespace, ()))
            if not any(selects(selector.items(), known.labels) for selector in asked):
                yield error(
                    path,
                    f"routes by {name} at {'/'.join(key)}, but no RequestAuthentication verifies tokens for its workload "
                    f"{known.namespace}/{known.name}: the claim is never there",
                    at_value=False,
                    code=NOT_AUTHENTICATED,
                )
