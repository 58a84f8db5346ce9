"""Istio's own outputs: what its RBAC filters decide about calls, our policies decide too."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
import yaml

from meshd.control.compiler.authz import compile_authorization, concerning
from meshd.control.mesh import Mesh
from meshd.net.address import Address
from meshd.policy.authz import ConnectionAuthorization, RequestAuthorization
from meshd.policy.authz_rules import compile_rule
from meshd.policy.exchange import Exchange
from meshd.proxy.peer_metadata import namespace_of
from meshd.snapshot.policy import Authorization
from tests.control.compiler.rbac import Call, allows, holds
from tests.control.documents import documents
from tests.corpus import ROOT, corpus_path
from tests.policy import subjects

WORKLOAD = ("foo", (("app", "httpbin"), ("version", "v1")), "istio-system")
OF_TOKENS = ("requestPrincipals", "notRequestPrincipals")
UNKEPT = ("request.auth.", "experimental.")


def cases() -> list[Any]:
    path = ROOT / "expectations/authz-builder.json"
    listed = json.loads(path.read_text())["cases"] if path.exists() else []
    return [pytest.param(case, id=case["name"]) for case in listed]


def outputs(case: dict[str, Any]) -> list[dict[str, Any]]:
    return [yaml.safe_load(corpus_path(name).read_text()) for name in case["outputs"]]


def policies(case: dict[str, Any]) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(corpus_path(case["input"]).read_text()))


def compiled(found: list[dict[str, Any]], case: dict[str, Any]) -> Authorization | None:
    mesh = Mesh.of(documents(yaml.safe_dump_all(found)))
    chosen = concerning(mesh.authorization_policies, *WORKLOAD)
    domains = (case["trustDomain"] or "cluster.local", *(case["aliases"] or ()))
    return compile_authorization(chosen, domains, tcp=case["name"].startswith("tcp/"))


PRINCIPALS = (
    "",
    "principal",
    "not-principal",
    "principal-prefix-x",
    "x-suffix-principal",
    "td1/ns/foo/sa/rule[0]-from[1]-principal[1]",
    "foobar/ns/foo/sa/rule[0]-from[1]-principal[1]",
    "x/ns/foo/sa/rule[0]-from[1]-principal[0]",
    "some-trustdomain/ns/foo/sa/prefix-td",
    "other/ns/foo/sa/prefix-td",
    "old-td/ns/istio-system/sa/prefix-td",
    "a/ns/istio-system/sa/all-td",
    "td/ns/my-ns/sa/my-sa",
    "td/ns/my-ns/sa/my-sa-not",
    "td/ns/foo/sa/sa-only",
    "td/ns/ns/sa/x",
    "td/ns/ns-prefix-x/sa/x",
    "td/ns/x-ns-suffix/sa/x",
    "td/ns/not-ns/sa/x",
    "td/ns/ns-1/sa/x",
    "td/ns/ns-2/sa/x",
)
VARIED: dict[str, tuple[Any, ...]] = {
    "principal": PRINCIPALS,
    "source_ip": ("1.2.3.4", "5.6.7.8", "9.2.1.1", "10.10.10.10", "192.168.10.7", "90.10.10.10", "10.9.9.9"),
    "remote_ip": ("1.2.3.4", "10.250.90.4", "10.133.154.65", "192.168.7.7", "192.168.10.9", "90.168.10.1"),
    "destination_ip": ("10.10.10.10", "192.168.10.1", "90.10.10.10", "10.8.8.8"),
    "destination_port": (80, 90, 91, 8000, 8080, 9001, 9090),
    "server_name": ("", "exact.com", "a.suffix.com", "prefix.x", "not-exact.com", "else"),
    "method": ("GET", "method", "method-prefix-x", "x-suffix-method", "not-method", "POST"),
    "host": ("exact.com", "EXACT.com", "a.suffix.com", "prefix.x", "not-exact.com", "x"),
    "path": (
        *("/", "/exact", "/prefix/a", "/a/suffix", "/path/template/x", "/path/template/x/y", "/a/b/path/template"),
        *("/not-exact", "/not-path/template/x", "/allow", "/another", "/httpbin1", "/httpbin2", "/deny"),
    ),
    "headers": ((), (("x-header", "header"),), (("X-Header", "header-prefix-1"),), (("x-header", "not-header"),)),
}


def calls(*, tcp: bool) -> list[Call]:
    """One that differs from the plain one in each thing, and pairs of those that policies join."""
    single = [Call(**{name: value}) for name, values in VARIED.items() for value in values]
    joined = ("principal", "destination_port", "path", "method")
    pairs = [
        Call(**{one: first, other: second})
        for one, other in itertools.combinations(joined, 2)
        for first in VARIED[one]
        for second in VARIED[other]
    ]
    found = [*single, *pairs]
    if tcp:
        seen = ("principal", "destination_ip", "destination_port", "server_name")
        found = [
            Call(**{name: getattr(each, name) for name in seen}, source_ip=each.remote_ip, remote_ip=each.remote_ip)
            for each in (*found, *(Call(remote_ip=address) for address in VARIED["source_ip"]))
        ]
    return list(dict.fromkeys(found))


def exchange(call: Call) -> Exchange:
    return subjects.exchange(
        call.method,
        call.path,
        call.host,
        call.headers,
        peer=Address(call.source_ip, 4711),
        local=Address(call.destination_ip, call.destination_port),
        destination_port=call.destination_port,
        principal=call.principal,
        namespace=namespace_of(call.principal),
        server_name=call.server_name,
        remote_host=call.remote_ip,
    )


def decided(found: Authorization | None, call: Call, *, tcp: bool) -> bool:
    if found is None:
        return True
    if tcp:
        return ConnectionAuthorization(found).accept(exchange(call).connection) is None
    return RequestAuthorization(found).request(exchange(call)) is None


DECIDING = frozenset(
    {
        "http/custom-bad-invalid-config",
        "http/custom-bad-multiple-providers",
        "http/dry-run-mix",
        "http/trust-domain-aliases-in-source-principal",
        "http/trust-domain-wildcard-in-principal",
        "http/allow-full-rule",
        "tcp/allow-both-http-tcp",
    }
)
"""Cases of which some of these calls are let in and some are not."""


@pytest.mark.parametrize("case", cases())
def test_decisions(case: dict[str, Any]) -> None:
    tcp = case["name"].startswith("tcp/")
    found, filters = compiled(policies(case), case), outputs(case)
    verdicts = set()
    for call in calls(tcp=tcp):
        expected = allows(filters, call)
        verdicts.add(expected)
        assert decided(found, call, tcp=tcp) == expected, call
    assert len(verdicts) == (2 if case["name"] in DECIDING else 1)


def without(rule: dict[str, Any]) -> dict[str, Any]:
    """A rule without what speaks of tokens and of other filters' data."""
    kept = dict(rule)
    kept["from"] = [
        {"source": {name: each for name, each in entry["source"].items() if name not in OF_TOKENS}}
        for entry in rule.get("from", [])
    ]
    kept["when"] = [each for each in rule.get("when", []) if not each["key"].startswith(UNKEPT)]
    return {name: each for name, each in kept.items() if each}


def conjuncts(policy: dict[str, Any]) -> list[dict[str, Any]]:
    """Everything that must hold for the first alternative of an RBAC policy."""
    found = [*policy["permissions"][0]["andRules"]["rules"], *policy["principals"][0]["andIds"]["ids"]]
    return [each for each in found if "etadata" not in json.dumps(each) and each != {"any": True}]


@pytest.mark.parametrize(
    ("name", "number"), [("http/allow-full-rule", 0), ("http/allow-full-rule", 1), ("tcp/audit-both-http-tcp", 0)]
)
def test_every_field_of_a_rule(name: str, number: int) -> None:
    """All of such a rule never holds at once, so its parts are compared: each is true of the same calls."""
    corpus_path("expectations/authz-builder.json")
    (case,) = (each.values[0] for each in cases() if each.values[0]["name"] == name)
    tcp = name.startswith("tcp/")
    (policy,) = policies(case)
    policy["spec"]["rules"] = [without(rule) for rule in policy["spec"]["rules"]]
    policy["spec"]["action"] = "DENY" if tcp else "ALLOW"
    found = compiled([policy], case)
    assert found is not None
    (ours,) = found.deny if tcp else (found.allow or ())
    (filter_,) = outputs(case)
    theirs = list(filter_["typedConfig"]["rules"]["policies"].values())[number]
    asked = calls(tcp=tcp)
    rule = compile_rule(ours.rules[number], ours.name, number, http=not tcp)
    fields = [field for part in rule.alternatives for fields in part for field in fields]
    mine = {tuple(bool(field.test(exchange(call))) for call in asked): field.name for field in fields}
    expected = {tuple(holds(node, call) for call in asked): json.dumps(node) for node in conjuncts(theirs)}
    assert [each for vector, each in mine.items() if vector not in expected] == []
    assert [each for vector, each in expected.items() if vector not in mine] == []
