"""Authorization: Istio's evaluation, its replies, and the same answers as a naive evaluator."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshd.errors import ConfigError
from meshd.policy.authz import ConnectionAuthorization, RequestAuthorization
from meshd.policy.exchange import Exchange
from meshd.snapshot.common import MatchKind, StringMatch
from meshd.snapshot.match import Step
from meshd.snapshot.policy import (
    Authorization,
    AuthorizationPolicy,
    AuthorizationRule,
    Condition,
    Operation,
    Source,
    WatchedPolicy,
)
from tests.policy.subjects import connection, exchange

K = MatchKind


def exact(*values: str) -> tuple[StringMatch, ...]:
    return tuple(StringMatch(K.EXACT, value) for value in values)


def some() -> tuple[StringMatch, ...]:
    return (StringMatch(K.NON_EMPTY),)


def policy(*rules: AuthorizationRule, name: str = "ns[default]-policy[p]") -> AuthorizationPolicy:
    return AuthorizationPolicy(name, rules)


def rule(source: Source | None = None, operation: Operation | None = None, *conditions: Condition) -> AuthorizationRule:
    return AuthorizationRule(
        (source,) if source is not None else (), (operation,) if operation is not None else (), conditions
    )


def allows(made: AuthorizationRule, subject: Exchange) -> bool:
    return RequestAuthorization(Authorization(allow=(policy(made),))).request(subject) is None


PRODUCTPAGE = "cluster.local/ns/default/sa/productpage"


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (rule(), True),
        (rule(Source(principals=exact(PRODUCTPAGE))), True),
        (rule(Source(principals=exact("cluster.local/ns/default/sa/other"))), False),
        (rule(Source(principals=(StringMatch(K.SUFFIX, "/sa/productpage"),))), True),
        (rule(Source(not_principals=exact(PRODUCTPAGE))), False),
        (rule(Source(namespaces=exact("default", "other"))), True),
        (rule(Source(not_namespaces=exact("default"))), False),
        (rule(Source(ip_blocks=("10.1.0.0/16",))), True),
        (rule(Source(not_ip_blocks=("10.1.0.0/16",))), False),
        (rule(Source(remote_ip_blocks=("10.1.2.3",))), True),
        (rule(Source(principals=some(), namespaces=exact("x"))), False),
        (rule(None, Operation(hosts=exact("REVIEWS:9080"))), True),
        (rule(None, Operation(hosts=exact("reviews"))), False),
        (rule(None, Operation(hosts=(StringMatch(K.PREFIX, "Reviews:"),))), True),
        (rule(None, Operation(not_hosts=exact("REVIEWS:9080"))), False),
        (rule(None, Operation(methods=exact("GET", "HEAD"))), True),
        (rule(None, Operation(methods=exact("get"))), False),
        (rule(None, Operation(not_methods=exact("GET"))), False),
        (rule(None, Operation(paths=exact("/reviews/0"))), True),
        (rule(None, Operation(paths=exact("/reviews/0?x=1"))), False),
        (rule(None, Operation(paths=(StringMatch(K.PREFIX, "/rev"),))), True),
        (rule(None, Operation(not_paths=(StringMatch(K.SUFFIX, "/0"),))), False),
        (rule(None, Operation(ports=(9080,))), True),
        (rule(None, Operation(ports=(15006,))), False),
        (rule(None, Operation(not_ports=(9080,))), False),
        (rule(None, None, Condition("request.headers[X-Token]", exact("b"))), True),
        (rule(None, None, Condition("request.headers[x-token]", exact("a,b"))), True),
        (rule(None, None, Condition("request.headers[x-token]", (), exact("a"))), False),
        (rule(None, None, Condition("request.headers[x-none]", some())), False),
        (rule(None, None, Condition("request.headers[x-none]", (), some())), True),
        (rule(None, None, Condition("source.ip", exact("10.0.0.0/8"))), True),
        (rule(None, None, Condition("source.ip", (), exact("10.0.0.0/8"))), False),
        (rule(None, None, Condition("remote.ip", exact("192.168.0.0/16"))), False),
        (rule(None, None, Condition("destination.ip", exact("10.0.0.1"))), True),
        (rule(None, None, Condition("destination.port", exact("9080", "1"))), True),
        (rule(None, None, Condition("destination.port", (), exact("9080"))), False),
        (rule(None, None, Condition("source.principal", exact(PRODUCTPAGE))), True),
        (rule(None, None, Condition("source.namespace", exact("other"))), False),
        (rule(None, None, Condition("connection.sni", exact("a.example.com"))), True),
        (rule(None, None, Condition("source.namespace", exact("default"), exact("default"))), False),
    ],
)
def test_fields(made: AuthorizationRule, *, expected: bool) -> None:
    subject = exchange(headers=(("x-token", "a"), ("X-Token", "b")), server_name="a.example.com")
    assert allows(made, subject) is expected


def test_an_absent_identity_never_matches_and_always_satisfies_not() -> None:
    nobody = exchange(principal="", namespace="", host="")
    for positive in (
        Source(principals=some()),
        Source(namespaces=some()),
        Source(principals=(StringMatch(K.PREFIX, ""),)),
    ):
        assert not allows(rule(positive), nobody)
    assert not allows(rule(None, Operation(hosts=some())), nobody)
    for negative in (Source(not_principals=some()), Source(not_namespaces=some())):
        assert allows(rule(negative), nobody)


def test_remote_ip_is_the_trusted_client() -> None:
    subject = exchange(remote_host="203.0.113.9")
    assert allows(rule(Source(remote_ip_blocks=("203.0.113.0/24",))), subject)
    assert not allows(rule(Source(ip_blocks=("203.0.113.0/24",))), subject)


def test_sources_and_operations_are_alternatives() -> None:
    made = AuthorizationRule(
        (Source(namespaces=exact("x")), Source(principals=exact(PRODUCTPAGE))),
        (Operation(methods=exact("POST")), Operation(paths=exact("/reviews/0")), Operation(ports=(1,))),
    )
    assert allows(made, exchange())
    assert not allows(made, exchange(target="/other"))
    assert allows(made, exchange(method="POST", target="/other"))


def test_deny_comes_first() -> None:
    both = RequestAuthorization(
        Authorization(
            deny=(
                policy(
                    rule(Source(namespaces=exact("x"))),
                    rule(None, Operation(methods=exact("GET"))),
                    name="ns[foo]-policy[bar]",
                ),
            ),
            allow=(policy(rule()),),
        )
    )
    reply = both.request(exchange())
    assert reply is not None
    assert (reply.status, reply.body, reply.flags) == (403, b"RBAC: access denied", ())
    assert reply.detail == "rbac_access_denied_matched_policy[ns[foo]-policy[bar]-rule[1]]"
    assert reply.reason == "denied by ns[foo]-policy[bar] rule 1: it matches method exact 'GET'"
    assert both.request(exchange(method="POST")) is None


def test_nothing_allowed_says_which_field_failed() -> None:
    made = rule(Source(principals=exact("a/b")), Operation(methods=exact("POST")))
    reply = RequestAuthorization(Authorization(allow=(policy(made),))).request(exchange())
    assert reply is not None
    assert reply.detail == "rbac_access_denied_matched_policy[none]"
    assert reply.reason == (
        f"no ALLOW rule matches: ns[default]-policy[p] rule 0: source principal: exact 'a/b' != '{PRODUCTPAGE}'"
    )
    absent = RequestAuthorization(Authorization(allow=(policy(made),))).request(exchange(principal=""))
    assert absent is not None
    assert absent.reason.endswith("source principal: exact 'a/b', but it is absent")


@pytest.mark.parametrize("allow", [(), (policy(),)])
def test_allow_without_rules_denies_all(allow: tuple[AuthorizationPolicy, ...]) -> None:
    reply = RequestAuthorization(Authorization(allow=allow)).request(exchange())
    assert reply is not None
    assert "everything is denied" in reply.reason


def test_without_policies_all_is_allowed() -> None:
    assert RequestAuthorization(Authorization()).request(exchange()) is None


def test_the_reason_stays_short() -> None:
    rules = tuple(rule(Source(principals=exact(*(f"a{index}" for index in range(50))))) for _ in range(50))
    reply = RequestAuthorization(Authorization(allow=(policy(*rules),))).request(exchange(target="/" + "x" * 5000))
    assert reply is not None
    assert len(reply.reason) < 1500
    assert reply.reason.endswith("and 47 more")


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (Condition("request.auth.principal", exact("a")), "not supported: known are request.headers"),
        (Condition("request.headers[]", exact("a")), "not supported"),
        (Condition("request.headers[bad name]", exact("a")), "not supported"),
        (Condition("source.ip", exact("a")), "no address block"),
        (Condition("destination.port", exact("http")), "no port"),
        (Condition("source.principal", (StringMatch(K.REGEX, "("),)), "RE2"),
    ],
)
def test_what_cannot_be_compiled_is_refused(condition: Condition, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RequestAuthorization(Authorization(deny=(policy(rule(None, None, condition)),)))


def test_explaining_decides_the_same_and_tells_every_rule() -> None:
    made = Authorization(
        deny=(policy(rule(None, Operation(methods=exact("POST"))), name="d"),),
        allow=(policy(rule(Source(namespaces=exact("x"))), rule(Source(namespaces=exact("default"))), name="a"),),
    )
    steps: list[Step] = []
    assert RequestAuthorization(made).explain(exchange(), steps.append) is None
    assert [(step.resource, step.rule, step.matched) for step in steps] == [
        ("d", 0, False),
        ("a", 0, False),
        ("a", 1, True),
    ]
    assert steps[0].because == "method: exact 'POST' != 'GET'"
    steps.clear()
    assert RequestAuthorization(made).explain(exchange(namespace="y"), steps.append) is not None
    assert (steps[-1].rule, steps[-1].matched) == (-1, False)


HTTP_ONLY = [
    rule(Source(principals=exact(PRODUCTPAGE)), Operation(methods=exact("GET"))),
    rule(Source(principals=exact(PRODUCTPAGE)), Operation(not_paths=exact("/x"))),
    rule(Source(principals=exact(PRODUCTPAGE)), Operation(hosts=exact("reviews"))),
    rule(Source(principals=exact(PRODUCTPAGE)), None, Condition("request.headers[x]", exact("a"))),
]


@pytest.mark.parametrize("made", HTTP_ONLY)
def test_on_tcp_an_allow_rule_with_an_http_field_is_dropped(made: AuthorizationRule) -> None:
    denial = ConnectionAuthorization(Authorization(allow=(policy(made),))).accept(connection())
    assert denial is not None
    assert denial.detail == "rbac_access_denied_matched_policy[none]"


@pytest.mark.parametrize("made", HTTP_ONLY)
def test_on_tcp_a_deny_rule_loses_only_its_http_fields(made: AuthorizationRule) -> None:
    denies = ConnectionAuthorization(Authorization(deny=(policy(made),)))
    denial = denies.accept(connection())
    assert denial is not None
    assert denial.detail.endswith("-rule[0]]")
    assert denies.accept(connection(principal="other")) is None


def test_on_tcp_ports_and_addresses_count() -> None:
    made = rule(Source(ip_blocks=("10.1.0.0/16",)), Operation(ports=(9080,)), Condition("connection.sni", exact("s")))
    allow = ConnectionAuthorization(Authorization(allow=(policy(made),)))
    assert allow.accept(connection(server_name="s")) is None
    assert allow.accept(connection(server_name="s", destination_port=1)) is not None
    steps: list[Step] = []
    assert allow.explain(connection(), steps.append) is not None
    assert steps[0].because == "connection.sni: exact 's', but it is absent"


def test_watched_policies_are_told_of_and_refuse_nobody() -> None:
    hit = policy(rule(operation=Operation(methods=exact("GET"))), name="hit")
    missed = policy(rule(operation=Operation(methods=exact("PUT"))), name="missed")
    made = Authorization(watched=(WatchedPolicy("DENY", hit), WatchedPolicy("AUDIT", missed)))
    steps: list[Step] = []
    assert RequestAuthorization(made).explain(exchange(), steps.append) is None
    assert [(step.resource, step.matched, step.because) for step in steps] == [
        ("hit", False, "DENY, which has no effect here: it matches method exact 'GET'"),
        ("missed", False, "AUDIT, which has no effect here: method: exact 'PUT' != 'GET'"),
    ]
    assert ConnectionAuthorization(made).accept(connection()) is None


# The naive evaluator: Istio's sentences, one by one.


def _string(match: StringMatch, value: str) -> bool:
    wanted = match.value
    if match.ignore_case:
        wanted, value = wanted.lower(), value.lower()
    return {
        K.EXACT: value == wanted,
        K.PREFIX: value.startswith(wanted),
        K.SUFFIX: value.endswith(wanted),
        K.NON_EMPTY: value != "",
        K.PRESENT: True,
    }[match.kind]


def _strings(positive: tuple[StringMatch, ...], negative: tuple[StringMatch, ...], value: str) -> bool:
    if positive and (not value or not any(_string(match, value) for match in positive)):
        return False
    return not (negative and value and any(_string(match, value) for match in negative))


def _in(blocks: tuple[str, ...], host: str) -> bool:
    return any(ip_address(host) in ip_network(block) for block in blocks)


def _source(source: Source, subject: Exchange) -> bool:
    who, peer = subject.connection, subject.connection.peer.host
    return (
        _strings(source.principals, source.not_principals, who.principal)
        and _strings(source.service_accounts, source.not_service_accounts, who.principal)
        and _strings(source.trust_domains, source.not_trust_domains, who.principal)
        and _strings(source.namespaces, source.not_namespaces, who.namespace)
        and (not source.ip_blocks or _in(source.ip_blocks, peer))
        and not (source.not_ip_blocks and _in(source.not_ip_blocks, peer))
    )


def _operation(operation: Operation, subject: Exchange) -> bool:
    request, port = subject.request, subject.connection.destination_port

    def lower(matches: tuple[StringMatch, ...]) -> tuple[StringMatch, ...]:
        return tuple(StringMatch(match.kind, match.value, ignore_case=True) for match in matches)

    return (
        _strings(lower(operation.hosts), lower(operation.not_hosts), request.authority.decode())
        and _strings(operation.methods, operation.not_methods, request.method.decode())
        and _strings(operation.paths, operation.not_paths, request.path.decode())
        and (not operation.ports or port in operation.ports)
        and port not in operation.not_ports
    )


def _condition(condition: Condition, subject: Exchange) -> bool:
    values = [value.decode() for value in subject.request.headers.get_all(b"x")]

    def holds(matches: tuple[StringMatch, ...]) -> bool:
        return bool(values) and any(_string(match, value) for match in matches for value in [*values, ",".join(values)])

    return (not condition.values or holds(condition.values)) and not holds(condition.not_values)


def _matches(made: AuthorizationRule, subject: Exchange) -> bool:
    return (
        (not made.sources or any(_source(source, subject) for source in made.sources))
        and (not made.operations or any(_operation(operation, subject) for operation in made.operations))
        and all(_condition(condition, subject) for condition in made.conditions)
    )


def naive(made: Authorization, subject: Exchange) -> str | None:
    for each in made.deny:
        for index, denied in enumerate(each.rules):
            if _matches(denied, subject):
                return f"rbac_access_denied_matched_policy[{each.name}-rule[{index}]]"
    if made.allow is None or any(_matches(allowed, subject) for each in made.allow for allowed in each.rules):
        return None
    return "rbac_access_denied_matched_policy[none]"


_WORDS = st.sampled_from(["", "a", "ab", "A", "b", "/a", "GET"])
_MATCH = st.builds(StringMatch, st.sampled_from([K.EXACT, K.PREFIX, K.SUFFIX, K.NON_EMPTY]), _WORDS, st.booleans())
_MATCHES = st.lists(_MATCH, max_size=2).map(tuple)
_BLOCKS = st.lists(st.sampled_from(["10.0.0.0/8", "10.1.2.3", "11.0.0.0/8"]), max_size=2).map(tuple)
_PORTS = st.lists(st.sampled_from([80, 9080]), max_size=2).map(tuple)
_SOURCES = st.builds(
    Source,
    *(_MATCHES, _MATCHES, _MATCHES, _MATCHES, _BLOCKS, _BLOCKS),
    service_accounts=_MATCHES,
    not_service_accounts=_MATCHES,
    trust_domains=_MATCHES,
    not_trust_domains=_MATCHES,
)
_OPERATIONS = st.builds(Operation, _MATCHES, _MATCHES, _PORTS, _PORTS, _MATCHES, _MATCHES, _MATCHES, _MATCHES)
_CONDITIONS = st.builds(Condition, st.just("request.headers[x]"), _MATCHES, _MATCHES)
_RULES = st.builds(
    AuthorizationRule,
    st.lists(_SOURCES, max_size=2).map(tuple),
    st.lists(_OPERATIONS, max_size=2).map(tuple),
    st.lists(_CONDITIONS, max_size=2).map(tuple),
)
_POLICIES = st.lists(
    st.builds(AuthorizationPolicy, st.sampled_from(["p", "q"]), st.lists(_RULES, max_size=2).map(tuple)), max_size=2
).map(tuple)
_SUBJECTS = st.builds(
    lambda method, path, host, values, who, port: exchange(
        method,
        path,
        host,
        tuple(("x", value) for value in values),
        principal=who[0],
        namespace=who[1],
        destination_port=port,
    ),
    st.sampled_from(["GET", "a"]),
    st.sampled_from(["/a", "/a?ab", "/ab"]),
    _WORDS,
    st.lists(_WORDS, max_size=2),
    st.tuples(_WORDS, _WORDS),
    st.sampled_from([80, 9080]),
)


@settings(max_examples=200, deadline=None)
@given(st.builds(Authorization, _POLICIES, st.none() | _POLICIES), _SUBJECTS)
def test_the_naive_evaluator_agrees(made: Authorization, subject: Exchange) -> None:
    compiled = RequestAuthorization(made)
    reply = compiled.request(subject)
    assert (reply.detail if reply is not None else None) == naive(made, subject)
    steps: list[Step] = []
    compiled.explain(subject, steps.append)
    assert not any(step.matched for step in steps[:-1])
    if made.allow is not None or reply is not None:
        assert steps[-1].matched is (reply is None or reply.detail != "rbac_access_denied_matched_policy[none]")
