"""The Gateway API's own conformance cases: what a gateway does with requests, of those that can be asked without traffic."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest

from meshd.api.document import Document
from meshd.api.gateway_api.gateway import Gateway
from meshd.api.gateway_api.grpc_route import GRPCRoute
from meshd.api.gateway_api.http_route import HTTPRoute
from meshd.api.load import Loader
from meshd.control.compiler import compile_snapshot
from meshd.control.mesh import Mesh
from meshd.control.scope import Scope
from meshd.explain.call import Call, Told
from meshd.explain.decide import decide
from meshd.explain.decision import Decision
from meshd.snapshot.common import Direction
from tests.corpus import ROOT, corpus_path

FILE = ROOT / "expectations" / "gateway-api-conformance.json"
BASE = "gateway-api/conformance/base/manifests.yaml"
ECHO = "/gateway_api_conformance.echo_basic.grpcecho.GrpcEcho/"
NAMED = "gateway.networking.k8s.io/gateway-name"

LEFT_OUT = {
    "BackendTLSPolicyInvalidCACertificateRef": "BackendTLSPolicy has no effect yet, and a warning says so",
    "BackendTLSPolicySANValidation": "the same",
    "BackendTLSPolicy": "the same",
    "GatewayFrontendClientCertificateValidationInsecureFallback": "such a Gateway is refused",
}


@functools.cache
def cases() -> tuple[dict[str, Any], ...]:
    return tuple(json.loads(FILE.read_text())["cases"]) if FILE.exists() else ()


def rows() -> list[Any]:
    found = []
    for case in cases():
        for number, table in enumerate(case["tables"] if case["name"] not in LEFT_OUT else ()):
            for index, row in enumerate(table.get("rows", ())):
                asked = row.get("Request") or row.get("RequestMetadata") or {}
                late = (row.get("Response") or {}).get("StatusCode") == 504  # Only time can tell.
                if late or not asked or "_unresolved" in json.dumps(row) or "_go" in asked:
                    continue
                if not case["name"].startswith(("HTTPRoute", "GRPCRoute", "Gateway")) or asked.get("SNI"):
                    continue
                found.append(pytest.param(case, row, id=f"{case['name']}-{number}-{index}"))
    return found


@functools.cache
def documents(manifests: tuple[str, ...]) -> tuple[Document, ...]:
    loader = Loader()
    texts = [(corpus_path(each).read_text(), each) for each in (BASE, *manifests)]
    loaded = [each for text, file in texts for each in loader.load(text, file)]
    return tuple(each.document for each in loaded if each.document is not None)


@functools.cache
def mesh_of(manifests: tuple[str, ...]) -> Mesh:
    return Mesh.of(documents(manifests))


def gateways(manifests: tuple[str, ...]) -> list[tuple[str, str]]:
    """Namespace and name of the Gateways that the case's own routes are attached to."""
    named = {
        (parent.namespace or each.namespace, parent.name)
        for each in documents(manifests)
        if each.origin.file != BASE and isinstance(each.resource, HTTPRoute | GRPCRoute)
        for parent in each.resource.parentRefs
    }
    known = {(each.namespace, each.name) for each in documents(manifests) if isinstance(each.resource, Gateway)}
    return sorted(named & known)


def ask(manifests: tuple[str, ...], gateway: tuple[str, str], row: dict[str, Any]) -> Decision:
    namespace, name = gateway
    listeners = next(
        each.resource.listeners
        for each in documents(manifests)
        if isinstance(each.resource, Gateway) and (each.namespace, each.name) == gateway
    )
    scope = Scope(kind="gateway", namespace=namespace, labels=((NAMED, name),))
    snapshot = compile_snapshot(mesh_of(manifests), scope)
    asked = row.get("Request") or row["RequestMetadata"]
    host = asked.get("Host") or asked.get("Authority") or "10.9.8.7"
    headers = tuple((name, value) for name, value in (asked.get("Headers") or asked.get("Metadata") or {}).items())
    path = asked.get("Path") or (
        ECHO + ("EchoTwo" if "EchoTwoRequest" in row else "Echo") if "RequestMetadata" in row else "/"
    )
    port = listeners[0].port
    authority = host if ":" in host else f"{host}:{port}"
    call = Call.of(
        asked.get("Method") or "GET",
        f"http://{authority}{path}",
        Told(headers=headers, address=f"10.9.8.7:{port}", protocol="http2" if "RequestMetadata" in row else "http"),
    )
    return decide(snapshot, Direction.GATEWAY, call)


def judged(decision: Decision, row: dict[str, Any]) -> str:
    """What is not as expected, "" when nothing is."""
    wanted = row.get("Response") or {}
    codes = wanted.get("StatusCodes") or [wanted.get("StatusCode", 200)]
    if wanted.get("Code"):
        return "" if decision.route is None and decision.status == 404 else f"answered {decision.status}"
    if row.get("Backend") and 200 in codes and not row.get("RedirectRequest"):
        if f"||{row['Backend']}." not in decision.cluster:
            return f"sent to {decision.cluster or decision.verdict} and not to {row['Backend']}"
    elif decision.status not in codes and not (200 in codes and decision.cluster):
        return f"answered {decision.status} and not {codes}"
    sent = (row.get("ExpectedRequest") or {}).get("Request") or {}
    path = decision.rewritten.path or row.get("Request", {}).get("Path", "")
    if sent.get("Path") and row.get("Backend") and path != sent["Path"]:
        return f"the path is {path}"
    if sent.get("Host") and decision.rewritten.host != sent["Host"]:
        return f"the host is {decision.rewritten.host}"
    return ""


@pytest.mark.parametrize(("case", "row"), rows())
def test_conformance(case: dict[str, Any], row: dict[str, Any]) -> None:
    manifests = tuple(case["manifests"])
    answers = {gateway: ask(manifests, gateway, row) for gateway in gateways(manifests)}
    assert answers
    wrong = {gateway: judged(decision, row) for gateway, decision in answers.items()}
    assert "" in wrong.values(), wrong


def test_there_are_cases() -> None:
    corpus_path("expectations/gateway-api-conformance.json")
    assert len(rows()) > 100
