"""AuthorizationPolicies: who is selected, what is dropped, and that doubt is decided against the caller."""

from __future__ import annotations

import pytest

from meshd.control.compiler.authz import (
    NEVER,
    compile_authorization,
    concerning,
    glob_match,
    path_match,
    string_match,
    verifies_tokens,
)
from meshd.control.mesh import Mesh
from meshd.snapshot.common import MatchKind, StringMatch
from meshd.snapshot.policy import Authorization, AuthorizationRule, Condition, Operation, Source
from tests.control.documents import documents


def policy(spec: str, name: str = "p", namespace: str = "default", metadata: str = "") -> str:
    return f"""
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: {name}, namespace: {namespace}{metadata}}}
spec: {spec}
"""


WEB = ("default", (("app", "web"),), "istio-system")


def of(
    text: str, *, tcp: bool = False, trust_domain: str = "cluster.local", aliases: tuple[str, ...] = ()
) -> Authorization | None:
    mesh = Mesh.of(documents(text))
    chosen = concerning(mesh.authorization_policies, *WEB)
    tokens = verifies_tokens(mesh.request_authentications, *WEB)
    return compile_authorization(chosen, (trust_domain, *aliases), tcp=tcp, tokens=tokens)


def rule(
    rule_text: str, *, tcp: bool = False, deny: bool = False, trust_domain: str = "cluster.local", more: str = ""
) -> AuthorizationRule:
    action = "DENY" if deny else "ALLOW"
    found = of(policy(f"{{action: {action}, rules: [{rule_text}]}}") + more, tcp=tcp, trust_domain=trust_domain)
    assert found is not None
    policies = found.deny if deny else found.allow
    assert policies is not None
    ((only,),) = (each.rules for each in policies)
    return only


def exact(value: str) -> StringMatch:
    return StringMatch(MatchKind.EXACT, value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*", StringMatch(MatchKind.NON_EMPTY)),
        ("abc*", StringMatch(MatchKind.PREFIX, "abc")),
        ("*abc", StringMatch(MatchKind.SUFFIX, "abc")),
        ("abc", exact("abc")),
        ("a*c", exact("a*c")),
    ],
)
def test_strings(text: str, expected: StringMatch) -> None:
    assert string_match(text) == expected


def test_namespaces_and_paths_know_more() -> None:
    assert glob_match("a*c.d") == StringMatch(MatchKind.REGEX, r"a.*c\.d")
    assert glob_match("ns-*") == StringMatch(MatchKind.PREFIX, "ns-")
    assert path_match("/a/{*}/b.c") == StringMatch(MatchKind.REGEX, r"/a/[^/]+/b\.c")
    assert path_match("/{**}/b") == StringMatch(MatchKind.REGEX, "/.*/b")
    assert path_match("/a*") == StringMatch(MatchKind.PREFIX, "/a")


def test_nothing_to_enforce() -> None:
    assert of("") is None


DRY = ", annotations: {istio.io/dry-run: 'true'}"


def test_what_is_only_watched_refuses_nobody() -> None:
    found = of(
        policy("{action: AUDIT, rules: [{}]}", "noted")
        + policy("{action: DENY, rules: [{}]}", "tried", metadata=DRY)
        + policy("{}", "also", metadata=DRY)
    )
    assert found is not None
    assert (found.deny, found.allow) == ((), None)
    assert [(each.action, each.policy.name) for each in found.watched] == [
        ("ALLOW", "ns[default]-policy[also]"),
        ("AUDIT", "ns[default]-policy[noted]"),
        ("DENY", "ns[default]-policy[tried]"),
    ]


def test_an_empty_policy_denies_all_and_an_empty_rule_allows_all() -> None:
    found = of(policy("{}"))
    assert found is not None
    assert found.allow is not None
    assert found.allow[0].rules == ()
    assert rule("{}") == AuthorizationRule()


def test_selection() -> None:
    def names(text: str) -> list[str]:
        mesh = Mesh.of(documents(text))
        return [
            each.name for each in concerning(mesh.authorization_policies, "default", (("app", "web"),), "istio-system")
        ]

    assert names(policy("{}", "own") + policy("{}", "root", "istio-system") + policy("{}", "other", "other")) == [
        "own",
        "root",
    ]
    assert names(policy("{selector: {matchLabels: {app: web}}}", "chosen")) == ["chosen"]
    assert names(policy("{selector: {matchLabels: {app: db}}}", "passed-over")) == []
    assert names(policy("{selector: {matchLabels: {app: db}}}", "passed-over", "istio-system")) == []
    assert names(policy("{targetRefs: [{kind: Gateway, name: g, group: gateway.networking.k8s.io}]}")) == []


def test_deny_and_allow_are_apart_and_in_order_of_names() -> None:
    found = of(
        policy("{action: DENY, rules: [{}]}", "zz")
        + policy("{action: DENY, rules: [{}]}", "yy")
        + policy("{rules: [{}]}", "a")
    )
    assert found is not None
    assert [each.name for each in found.deny] == ["ns[default]-policy[yy]", "ns[default]-policy[zz]"]
    assert found.allow is not None
    assert [each.name for each in found.allow] == ["ns[default]-policy[a]"]
    only_deny = of(policy("{action: DENY, rules: [{}]}"))
    assert only_deny is not None
    assert only_deny.allow is None


def test_custom_is_refused_as_nobody_can_be_asked() -> None:
    found = of(policy("{action: CUSTOM, provider: {name: x}, rules: [{to: [{operation: {paths: [/a]}}]}]}"))
    assert found is not None
    assert found.deny[0].rules[0].operations[0].paths == (exact("/a"),)


def test_principals_of_this_mesh() -> None:
    text = '{from: [{source: {principals: ["cluster.local/ns/a/sa/b", "spiffe://x.org/ns/a/sa/b", "*/sa/b", "*"]}}]}'
    assert rule(text, trust_domain="t.org").sources == (
        Source(
            principals=(
                exact("t.org/ns/a/sa/b"),
                exact("x.org/ns/a/sa/b"),
                StringMatch(MatchKind.SUFFIX, "/sa/b"),
                StringMatch(MatchKind.NON_EMPTY),
            )
        ),
    )


def test_service_accounts_and_trust_domains_are_parts_of_the_principal() -> None:
    found = rule(
        '{from: [{source: {serviceAccounts: [ns/sa, own], notServiceAccounts: [bad]}}, {source: {trustDomains: [t.org, "*.org"]}}]}'
    )
    first, second = found.sources
    assert first.service_accounts == (
        StringMatch(MatchKind.REGEX, ".+/ns/ns/(.+/|)sa/sa(/.+)?"),
        StringMatch(MatchKind.REGEX, ".+/ns/default/(.+/|)sa/own(/.+)?"),
    )
    assert first.not_service_accounts == (StringMatch(MatchKind.REGEX, ".+/ns/default/(.+/|)sa/bad(/.+)?"),)
    assert second.trust_domains == (
        StringMatch(MatchKind.PREFIX, "t.org/"),
        StringMatch(MatchKind.REGEX, r"[^/]*\.org/.*"),
    )


def test_everything_else() -> None:
    found = rule(
        "{from: [{source: {namespaces: [a], notNamespaces: [b], ipBlocks: [10.0.0.0/8], notIpBlocks: [10.1.0.0/16],"
        " remoteIpBlocks: [192.0.2.1], notRemoteIpBlocks: [192.0.2.2], notPrincipals: [x]}}],"
        " to: [{operation: {hosts: [A.com], notHosts: [b.com], ports: ['80'], notPorts: ['81'], methods: [GET],"
        " notMethods: [PUT], paths: [/a], notPaths: [/b]}}],"
        " when: [{key: source.ip, values: ['10.0.0.1']}, {key: 'request.headers[x]', notValues: [a*]},"
        " {key: source.namespace, values: [n-*]}, {key: destination.port, values: ['80']},"
        " {key: source.serviceAccount, values: [sa]}, {key: source.trustDomain, notValues: [t]}]}"
    )
    assert found.sources == (
        Source(
            namespaces=(exact("a"),),
            not_namespaces=(exact("b"),),
            ip_blocks=("10.0.0.0/8",),
            not_ip_blocks=("10.1.0.0/16",),
            remote_ip_blocks=("192.0.2.1",),
            not_remote_ip_blocks=("192.0.2.2",),
            not_principals=(exact("x"),),
        ),
    )
    assert found.operations == (
        Operation(
            hosts=(StringMatch(MatchKind.EXACT, "A.com", ignore_case=True),),
            not_hosts=(StringMatch(MatchKind.EXACT, "b.com", ignore_case=True),),
            ports=(80,),
            not_ports=(81,),
            methods=(exact("GET"),),
            not_methods=(exact("PUT"),),
            paths=(exact("/a"),),
            not_paths=(exact("/b"),),
        ),
    )
    assert found.conditions == (
        Condition("source.ip", (exact("10.0.0.1"),)),
        Condition("request.headers[x]", (), (StringMatch(MatchKind.PREFIX, "a"),)),
        Condition("source.namespace", (StringMatch(MatchKind.PREFIX, "n-"),)),
        Condition("destination.port", (exact("80"),)),
        Condition("source.principal", (StringMatch(MatchKind.REGEX, ".+/ns/default/(.+/|)sa/sa(/.+)?"),)),
        Condition("source.principal", (), (StringMatch(MatchKind.PREFIX, "t/"),)),
    )


TOKEN = "{from: [{source: {requestPrincipals: ['*']}}]}"
NO_TOKEN = "{from: [{source: {notRequestPrincipals: ['*']}}]}"


def test_nobody_has_a_token() -> None:
    assert rule(TOKEN) == NEVER
    assert rule(TOKEN, deny=True) == NEVER
    assert rule(NO_TOKEN) == AuthorizationRule()
    assert rule(NO_TOKEN, deny=True) == AuthorizationRule()
    either = "{from: [{source: {requestPrincipals: ['*']}}, {source: {namespaces: [a]}}]}"
    assert rule(either).sources == (Source(namespaces=(exact("a"),)),)
    claims = "{when: [{key: 'request.auth.claims[a]', %s: [b]}]}"
    assert rule(claims % "values") == NEVER
    assert rule(claims % "notValues") == AuthorizationRule()


VERIFIED = """
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: tokens, namespace: %s}
spec: {%s jwtRules: [{issuer: x.org, jwks: "{}"}]}
"""


@pytest.mark.parametrize("where", [("default", "selector: {matchLabels: {app: web}},"), ("istio-system", "")])
@pytest.mark.parametrize(
    "part",
    [
        "from: [{source: {requestPrincipals: ['*'], namespaces: [a]}}]",
        "from: [{source: {notRequestPrincipals: ['*'], namespaces: [a]}}]",
        "from: [{source: {namespaces: [a]}}], when: [{key: 'request.auth.claims[a]', values: [b]}]",
        "from: [{source: {namespaces: [a]}}], when: [{key: 'request.auth.audiences', notValues: [b]}]",
    ],
)
def test_where_callers_may_have_tokens_nobody_is_let_in_by_what_is_not_verified(
    where: tuple[str, str], part: str
) -> None:
    assert rule(f"{{{part}}}", more=VERIFIED % where) == NEVER
    # And a refusal does not wait for it.
    denied = rule(f"{{{part}}}", deny=True, more=VERIFIED % where)
    assert denied == AuthorizationRule(sources=(Source(namespaces=(exact("a"),)),))


@pytest.mark.parametrize("where", [("default", "selector: {matchLabels: {app: db}},"), ("other", "")])
def test_tokens_of_other_workloads_are_nothing_here(where: tuple[str, str]) -> None:
    assert rule(NO_TOKEN, more=VERIFIED % where) == AuthorizationRule()
    assert rule(TOKEN, deny=True, more=VERIFIED % where) == NEVER


def test_a_mesh_that_was_renamed_is_known_by_all_its_names() -> None:
    text = '{from: [{source: {principals: ["cluster.local/ns/a/sa/b", "old.org/ns/c/sa/d", "x.org/ns/e/sa/f"]}}]}'
    found = of(policy(f"{{rules: [{text}]}}"), trust_domain="new.org", aliases=("old.org",))
    assert found is not None
    assert found.allow is not None
    assert [match.value for match in found.allow[0].rules[0].sources[0].principals] == [
        "new.org/ns/a/sa/b",
        "old.org/ns/a/sa/b",
        "new.org/ns/c/sa/d",
        "old.org/ns/c/sa/d",
        "x.org/ns/e/sa/f",
    ]


@pytest.mark.parametrize(
    "part",
    [
        "to: [{operation: {paths: [/a], ports: ['80']}}]",
        "to: [{operation: {methods: [GET]}}]",
        "to: [{operation: {notHosts: [a]}}]",
        "from: [{source: {requestPrincipals: [a]}}]",
        "from: [{source: {notRequestPrincipals: [a]}}]",
        "when: [{key: 'request.headers[x]', values: [a]}]",
        "when: [{key: 'request.auth.principal', values: [a]}]",
    ],
)
def test_on_tcp_a_rule_about_requests_never_allows_and_denies_without_that_part(part: str) -> None:
    assert rule(f"{{{part}}}", tcp=True) == NEVER
    denied = rule(f"{{{part}}}", tcp=True, deny=True)
    ports = (Operation(ports=(80,)),) if "ports" in part else ()
    assert denied == AuthorizationRule(operations=ports)


def test_on_tcp_one_operation_about_requests_takes_the_whole_rule_with_it() -> None:
    text = "{to: [{operation: {ports: ['80']}}, {operation: {methods: [GET]}}]}"
    assert rule(text, tcp=True) == NEVER
    assert rule(text, tcp=True, deny=True) == AuthorizationRule()


def test_on_tcp_everything_about_connections_stays() -> None:
    text = (
        "{from: [{source: {namespaces: [a]}}], to: [{operation: {ports: ['80'], notPorts: ['81']}}],"
        " when: [{key: connection.sni, values: [x]}]}"
    )
    assert rule(text, tcp=True) == AuthorizationRule(
        sources=(Source(namespaces=(exact("a"),)),),
        operations=(Operation(ports=(80,), not_ports=(81,)),),
        conditions=(Condition("connection.sni", (exact("x"),)),),
    )


@pytest.mark.parametrize("part", ["when: [{key: 'experimental.envoy.filters.a[b]', values: [c]}]"])
def test_what_cannot_be_decided_is_decided_against_the_caller(part: str) -> None:
    loaded = f"{{{part}}}"
    assert rule(loaded) == NEVER
    assert rule(loaded, deny=True) != NEVER


def test_numbers_of_rules_stay_as_written() -> None:
    found = of(policy(f"{{rules: [{TOKEN}, {{}}]}}"))
    assert found is not None
    assert found.allow is not None
    assert found.allow[0].rules == (NEVER, AuthorizationRule())


@pytest.mark.parametrize("deny", [False, True])
@pytest.mark.parametrize("name", ["é", "", "a b", "a]["])
def test_a_header_that_no_request_can_have_never_equals_and_is_always_something_else(name: str, deny: bool) -> None:
    key = f"'request.headers[{name}]'"
    assert rule(f"{{when: [{{key: {key}, values: [a]}}]}}", deny=deny) == NEVER
    assert rule(f"{{when: [{{key: {key}, values: [a], notValues: [b]}}]}}", deny=deny) == NEVER
    port = "{key: destination.port, values: ['80']}"
    found = rule(f"{{when: [{{key: {key}, notValues: [a]}}, {port}]}}", deny=deny)
    assert found == AuthorizationRule(conditions=(Condition("destination.port", (exact("80"),)),))
