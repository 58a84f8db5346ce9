"""Istio's own validation cases: what it accepts, refuses and warns about, through the path that users' files take.

A case is a whole resource, or a fragment of one, which is put into the least
document of its kind. Where Istio's test asks for words, ours must say the same
key word somewhere in what they say.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

import pytest

from meshd.api.problem import Level
from meshd.control.finding import Finding
from tests.control.analysis.cases import findings
from tests.control.analysis.crd_documents import DOCUMENTS
from tests.corpus import ROOT

FILE = "expectations/validation.json"

SCHEMA_WARNINGS = frozenset({"IST0130", "IST0131", "IST0133"})
"""Codes that stand for what Istio's validation warns about; meshd's own advice has its own codes."""

Case = dict[str, Any]


def rows(part: str) -> list[Any]:
    path = ROOT / FILE
    if not path.exists():
        return [pytest.param({}, marks=pytest.mark.skip(reason="the Istio corpus is not here; set MESHD_CORPUS"))]
    cases = json.loads(path.read_bytes())[part]
    return [pytest.param(case, id=_name(case)) for case in cases]


def _name(case: Case) -> str:
    if "file" in case:
        return f"{PurePosixPath(case['file']).stem}/{case['index']}: {case['name']}"
    return f"{case['id']}: {case['name']}"


def errors(found: tuple[Finding, ...]) -> list[Finding]:
    return [each for each in found if each.level is Level.ERROR]


def warnings(found: tuple[Finding, ...]) -> list[Finding]:
    return [each for each in found if each.level is Level.WARNING and each.code in SCHEMA_WARNINGS]


def shown(found: tuple[Finding, ...]) -> str:
    return "\n".join(str(each) for each in found)


WORDS = {
    "tls.httpsRedirect should only be used with http servers": "httpsRedirect",
    "one of credential_name, credential_names": "only one of",
    "PASSTHROUGH mode does not use certificates": "does not use certificates",
    "tag 'clusterID' may not have a nil value": "clusterID",
    "must be set when operation is UPSERT": "UPSERT",
    "only one of targetRefs or workloadSelector can be set": "only one of targetRefs",
    "spec.vmConfig.env invalid": "vmConfig.env",
    "spec.Match[0] is nil": "spec.match[0]",
    "spec.Match[0].Ports[0] is out of range: 0": "spec.match[0].ports[0]",
    "sha256 field must be 64 characters long": "64",
    "sha256 field must match [a-f0-9]{64} pattern": "64",
    "url field needs to be set": "url",
    "exactly one of wasm or lua must be set": "wasm or lua",
    "concurrency must be greater than or equal to 0": "concurrency",
    "header value configuration abc%123 is invalid": "header value configuration",
    "foo.bar is not a valid IP": "not a valid IP",
}
"""The key word of a sentence of Istio's, where it is not the sentence itself."""


def speaks_of(found: list[Finding], words: str | None) -> bool:
    """Whether one of the findings carries the key word of Istio's sentence."""
    wanted = WORDS.get(words or "", words or "").lower()
    return any(wanted in f"{each.path}: {each.message}".lower() for each in found)


@pytest.mark.parametrize("case", rows("resources"))
def test_resource(case: Case) -> None:
    found = findings(json.dumps(case["doc"]))
    assert (not errors(found)) is case["valid"], shown(found)
    assert bool(warnings(found)) is case["warning"], shown(found)
    if case["error_contains"]:
        assert speaks_of(errors(found), case["error_contains"]), shown(found)
    if case["warning_contains"]:
        assert speaks_of(warnings(found), case["warning_contains"]), shown(found)


PORT = {"number": 80, "name": "http", "protocol": "HTTP"}
SECURE = {"number": 443, "name": "https", "protocol": "HTTPS"}
ROUTE = {"route": [{"destination": {"host": "a.b"}}]}


def _object(kind: str, spec: object, namespace: str = "default") -> Case:
    group = "telemetry.istio.io/v1" if kind == "Telemetry" else "networking.istio.io/v1"
    return {
        "apiVersion": group,
        "kind": kind,
        "metadata": {"name": "x", "namespace": namespace},
        "spec": spec,
    }


def _route(**fields: object) -> Case:
    return _object("VirtualService", {"hosts": ["a.b"], "http": [fields]})


def _headers(name: str, value: str) -> Case:
    return _route(**ROUTE, headers={"request": {"set": {name: value}}})


def _encoded(response: Case) -> Case:
    """Istio's test is Go, where ``bytes`` are not encoded yet."""
    body = response.get("body") or {}
    if "bytes" not in body:
        return response
    return {**response, "body": {"bytes": base64.b64encode(body["bytes"].encode()).decode()}}


def _policy(policy: object) -> Case:
    return _object("DestinationRule", {"host": "a.b", "trafficPolicy": policy})


def _exported(case: Case) -> Case:
    own = case["namespace"]
    if case.get("isServiceEntry"):
        entry = {"hosts": ["a.b"], "ports": [PORT], "resolution": "DNS", "exportTo": case["value"]}
        return _object("ServiceEntry", entry, own)
    rule: Case = {"host": "a.b", "exportTo": case["value"]}
    if case.get("isDestinationRuleWithSelector"):
        rule["workloadSelector"] = {"matchLabels": {"app": "x"}}
    return _object("DestinationRule", rule, own)


def _server(**fields: object) -> Case:
    server = {"port": PORT, "hosts": ["a.b"], **fields}
    return _object("Gateway", {"selector": {"istio": "ingressgateway"}, "servers": [server]})


EMBEDDED: dict[str, Callable[[Case], Case]] = {
    "Gateway.servers[]": lambda case: _object("Gateway", {"selector": {"a": "b"}, "servers": [case["value"]]}),
    "Gateway.servers[].port": lambda case: _server(port=case["value"], bind=case["bind"]),
    "Gateway.servers[].tls": lambda case: _server(port=SECURE, tls=case["value"]),
    "VirtualService.http[].corsPolicy": lambda case: _route(**ROUTE, corsPolicy=case["value"]),
    "VirtualService.http[].fault.abort": lambda case: _route(
        **ROUTE, fault={"delay": {"fixedDelay": "1s"}, "abort": case["value"]}
    ),
    "VirtualService.http[].fault.delay": lambda case: _route(
        **ROUTE, fault={"delay": case["value"], "abort": {"httpStatus": 500}}
    ),
    "VirtualService.http[].retries": lambda case: _route(**ROUTE, retries=case["value"]),
    "VirtualService.http[].rewrite": lambda case: _route(**ROUTE, rewrite=case["value"]),
    "VirtualService.http[].redirect": lambda case: _route(
        **({"redirect": case["value"]} if case["value"] is not None else ROUTE)
    ),
    "VirtualService.http[].directResponse": lambda case: _route(directResponse=_encoded(case["directResponse"])),
    "Destination": lambda case: _route(
        **({"route": [{"destination": case["value"]}]} if case["value"] is not None else ROUTE)
    ),
    "VirtualService.http[]": lambda case: _route(**case["value"]),
    "VirtualService.http[] (root, has delegate)": lambda case: _route(**case["value"]),
    "VirtualService.http[] (in delegate VS)": lambda case: _object("VirtualService", {"http": [case["value"]]}),
    "VirtualService.tcp[].route": lambda case: _object(
        "VirtualService", {"hosts": ["a.b"], "tcp": [{"route": case["value"]}]}
    ),
    "DestinationRule.trafficPolicy": lambda case: _policy(case["value"]),
    "ConnectionPoolSettings": lambda case: _policy({"connectionPool": case["value"]}),
    "LoadBalancerSettings": lambda case: _policy({"loadBalancer": case["value"]}),
    "OutlierDetection": lambda case: _policy({"outlierDetection": case["value"]}),
    "scalar http status (fault abort)": lambda case: _route(**ROUTE, fault={"abort": {"httpStatus": case["value"]}}),
    "scalar header name (strict)": lambda case: _route(**ROUTE, match=[{"headers": {case["value"]: {"exact": "x"}}}]),
    "scalar header name": lambda case: _headers(case["value"], "x"),
    "scalar header value": lambda case: _headers("x-name", case["value"]),
    "scalar port name": lambda case: _object(
        "ServiceEntry", {"hosts": ["a.b"], "resolution": "DNS", "ports": [{**PORT, "name": case["value"]}]}
    ),
    "exportTo list": _exported,
    "Telemetry accessLogging filter expression": lambda case: _object(
        "Telemetry", {"accessLogging": [{"filter": case["value"]}]}
    ),
}
"""The least document around a fragment, by where the fragment belongs."""


def _expected(case: Case) -> tuple[bool, str | None]:
    """Whether it is valid, and the words of the error."""
    if "out" in case:
        return not case["out"], case["out"]
    if "wantErr" in case:
        return not case["wantErr"], None
    if "expected" in case:
        return not case["expected"], case["expected"]
    return case["valid"], None


@pytest.mark.parametrize("case", rows("fragments"))
def test_fragment(case: Case) -> None:
    found = findings(json.dumps(EMBEDDED[case["where"]](case)))
    valid, words = _expected(case)
    assert (not errors(found)) is valid, shown(found)
    if words:
        assert speaks_of(errors(found), words), shown(found)
    wanted = case.get("warning", case.get("warn"))
    if wanted is not None:
        assert bool(warnings(found)) is bool(wanted), shown(found)
    if isinstance(wanted, str) and wanted:
        assert speaks_of(warnings(found), wanted), shown(found)


@pytest.mark.parametrize("case", rows("crd"))
def test_what_the_schemas_refuse(case: Case) -> None:
    source = DOCUMENTS[PurePosixPath(case["file"]).stem, case["index"]]
    assert f"kind: {case['kind']}" in source
    found = findings(source)
    assert (not errors(found)) is case["valid"], shown(found)
    assert all(each.origin.line and each.origin.column for each in found)
