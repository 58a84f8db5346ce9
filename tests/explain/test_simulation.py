"""Istio's own simulation cases: a configuration and a call, and what each step of the way matches."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest

from meshd.api.document import Document
from meshd.api.load import Loader
from meshd.control.compiler import compile_snapshot
from meshd.control.mesh import Mesh
from meshd.control.scope import Scope
from meshd.explain.call import Call, Protocol, Told
from meshd.explain.decide import decide
from meshd.explain.decision import Decision, Verdict
from meshd.snapshot.common import Direction
from tests.corpus import ROOT

FILE = ROOT / "expectations" / "simulation.json"

PENDING: frozenset[str] = frozenset()
"""Calls that are not yet answered as Istio answers them; each must fail."""

ADDRESS = "1.3.3.7"
"""Where a call of which nothing is said connects to."""
PROXY_ADDRESS = "1.1.1.1"
"""Where a proxy of which nothing is said lives."""


@functools.cache
def cases() -> list[dict[str, Any]]:
    return json.loads(FILE.read_text())["cases"] if FILE.exists() else []


def rows() -> list[Any]:
    found = []
    for case in cases():
        for index, call in enumerate(case["calls"]):
            name = " / ".join(filter(None, (case["test"], case["name"], call.get("Name") or str(index))))
            found.append(pytest.param(case, call, id=name))
    return found


@functools.cache
def mesh_of(config: str, kubernetes: str) -> Mesh:
    loader = Loader()
    documents: list[Document] = []
    for text in (config, kubernetes):
        documents += [each.document for each in loader.load(text, "case.yaml") if each.document is not None]
    return Mesh.of(documents)


def scope_of(proxy: dict[str, Any]) -> Scope:
    return Scope(
        kind="gateway" if proxy["type"] == "router" else "sidecar",
        namespace=proxy.get("namespace") or "default",
        labels=tuple((proxy.get("labels") or {}).items()),
        address=proxy.get("ip") or PROXY_ADDRESS,
    )


def call_of(call: dict[str, Any]) -> Call:
    scheme = "tcp" if call.get("Protocol", "tcp") == "tcp" else "http"
    headers = tuple((name, value) for name, values in (call.get("Headers") or {}).items() for value in values)
    return Call.of(
        "GET",
        f"{scheme}://{call.get('HostHeader') or 'nobody.invalid'}:{call['Port']}{call.get('Path') or '/'}",
        Told(
            headers=headers,
            address=call.get("Address") or ADDRESS,
            protocol=call.get("Protocol") or Protocol.TCP,
            tls=call.get("TLS") or "",
            sni=call.get("Sni") or "",
            alpn=call.get("Alpn") or "",
        ),
    )


def error_of(decision: Decision) -> str:
    """Our verdict in the words of Istio's simulation, "" when the call is served."""
    last = next((step for step in reversed(decision.steps) if not step.matched), None)
    because = last.because if last is not None else ""
    match decision.verdict:
        case Verdict.NO_LISTENER:
            return "no listener matched"
        case Verdict.REDIRECT:
            return "tls required, sending 301"
        case Verdict.NO_ROUTE:
            return "no route matched" if decision.virtual_host else "no virtual host matched"
        case Verdict.RESET if "match alike" in because:
            return "multiple filter chains matched"
        case Verdict.RESET if not decision.filter_chain:
            return "no filter chains matched"
        case Verdict.RESET if because.startswith("protocol error"):
            return "protocol error"
        case Verdict.RESET if because.startswith("the client wants") or "client certificate" in because:
            return "invalid mTLS"
        case Verdict.RESET if not decision.cluster:
            return "invalid TLS"
    # Who answers behind the cluster is none of the simulation's business.
    return ""


def in_full(wanted: str, found: str) -> str:
    """A cluster's name with the domain that ours has, where that is the only difference."""
    return found if wanted and found == f"{wanted}.svc.cluster.local" else wanted


FIELDS = {
    "ListenerMatched": "listener",
    "FilterChainMatched": "filter_chain",
    "RouteConfigMatched": "route_config",
    "VirtualHostMatched": "virtual_host",
    "ClusterMatched": "cluster",
}


@pytest.mark.parametrize(("case", "call"), rows())
def test_istio_s_simulation(case: dict[str, Any], call: dict[str, Any], request: pytest.FixtureRequest) -> None:
    wanted = call["Result"]
    mode = Direction(call["Call"].get("CallMode") or ("gateway" if case["proxy"]["type"] == "router" else "outbound"))
    strict = wanted.get("StrictMatch")
    asked = call_of(call["Call"])
    snapshot = compile_snapshot(mesh_of(case["config"], case["kubeConfig"]), scope_of(case["proxy"]))
    decision = decide(snapshot, mode, asked)
    found = {key: getattr(decision, name) for key, name in FIELDS.items()}
    found["RouteMatched"] = decision.route.name if decision.route is not None else ""
    expected = {key: wanted.get(key) or "" for key in found if strict or wanted.get(key)}
    if strict and not wanted.get("FilterChainMatched"):
        # Chains that Envoy leaves without a name have one here.
        del expected["FilterChainMatched"]
    expected["Error"] = wanted.get("Error") or ""
    found["Error"] = error_of(decision)
    if not case["kubeConfig"].strip():
        # Istio then gives short names no domain; meshd always has one.
        expected = {key: in_full(value, found[key]) for key, value in expected.items()}
    agreed = {key: found[key] for key in expected} == expected
    if request.node.callspec.id in PENDING:
        assert not agreed, "this call is answered as Istio answers it: take it out of PENDING"
        return
    assert {key: found[key] for key in expected} == expected, "\n".join(
        f"{step.at}: {step.name} {step.because}" for step in decision.steps
    )
