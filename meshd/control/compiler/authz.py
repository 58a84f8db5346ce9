"""AuthorizationPolicies as what a proxy enforces. Pure.

Source: Istio's ``pilot/pkg/security/authz/{builder,model}``. What this mesh
cannot decide (what a token says, external authorizers) is decided against the
caller: an ALLOW rule never matches by it, a DENY rule is as wide as without it.
Where no RequestAuthentication holds for a workload nobody has a verified token,
in Istio as here, and there is nothing to doubt.
Numbers of rules stay as they were written, because logs name them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

import attrs

from meshd.api import security as api
from meshd.control.compiler import names, trust
from meshd.control.owned import Owned
from meshd.control.workloads import selects
from meshd.snapshot.common import MatchKind, StringMatch
from meshd.snapshot.policy import (
    Authorization,
    AuthorizationPolicy,
    AuthorizationRule,
    Condition,
    Operation,
    Source,
    WatchedPolicy,
)

NEVER: Final = AuthorizationRule(operations=(Operation(ports=(0,)),))
"""Matches nothing: no connection is to port 0."""

JWT_KEYS: Final = "request.auth."
KEYS: Final = frozenset(
    {
        "source.ip",
        "remote.ip",
        "source.namespace",
        "source.principal",
        "source.serviceAccount",
        "source.trustDomain",
        "destination.ip",
        "destination.port",
        "connection.sni",
    }
)
"""What conditions can ask, besides ``request.headers[...]``."""

HEADER_KEY = re.compile(r"request\.headers\[[!#$%&'*+\-.^_`|~0-9A-Za-z]+\]")
"""A header that a request can have."""


class _Never(Exception):
    """This rule cannot match."""


class _NotThis(Exception):
    """This alternative of a rule cannot match; another may."""


def concerning(
    policies: Iterable[Owned[api.AuthorizationPolicy]],
    namespace: str,
    labels: tuple[tuple[str, str], ...],
    root_namespace: str,
) -> tuple[Owned[api.AuthorizationPolicy], ...]:
    """The policies that hold for a workload: of its namespace and of the root's, by their selectors.

    One for other kinds of objects (``targetRefs``) holds for no workload.
    """
    known = dict(labels)
    found = []
    for policy in policies:
        spec = policy.resource
        selector = () if spec.selector is None else tuple(spec.selector.matchLabels.items())
        elsewhere = policy.namespace not in {namespace, root_namespace} or spec.targetRef or spec.targetRefs
        if not elsewhere and selects(selector, known):
            found.append(policy)
    return tuple(found)


def verifies_tokens(
    policies: Iterable[Owned[api.RequestAuthentication]],
    namespace: str,
    labels: tuple[tuple[str, str], ...],
    root_namespace: str,
) -> bool:
    """Whether any RequestAuthentication holds for a workload, so that callers could have verified tokens."""
    known = dict(labels)
    for policy in policies:
        spec = policy.resource
        selector = () if spec.selector is None else tuple(spec.selector.matchLabels.items())
        elsewhere = policy.namespace not in {namespace, root_namespace} or spec.targetRef or spec.targetRefs
        if spec.jwtRules and not elsewhere and selects(selector, known):
            return True
    return False


def compile_authorization(
    policies: tuple[Owned[api.AuthorizationPolicy], ...],
    trust_domains: tuple[str, ...],
    *,
    tcp: bool,
    tokens: bool = False,
) -> Authorization | None:
    """All policies of a workload as one filter, None when there is nothing to enforce nor to watch.

    Args:
        policies: What ``concerning`` gave.
        trust_domains: The mesh's own, then the names it had before.
        tcp: For connections whose requests are not seen: rules that speak of
            requests then never allow, and deny without regard to it.
        tokens: What ``verifies_tokens`` gave.
    """
    deny: list[AuthorizationPolicy] = []
    allow: list[AuthorizationPolicy] = []
    watched: list[WatchedPolicy] = []
    for policy in policies:
        action = policy.resource.action
        allows = action is api.Action.ALLOW
        writer = _Writer(policy.namespace, trust_domains, allow=allows, tcp=tcp, tokens=tokens)
        rules = tuple(writer.rule(rule) for rule in policy.resource.rules)
        compiled = AuthorizationPolicy(names.policy(policy.namespace, policy.name), rules)
        if policy.dry_run or action is api.Action.AUDIT:
            watched.append(WatchedPolicy(action.value, compiled))
        else:
            (allow if allows else deny).append(compiled)
    if not deny and not allow and not watched:
        return None
    return Authorization(
        deny=tuple(sorted(deny, key=_name)),
        allow=tuple(sorted(allow, key=_name)) if allow else None,
        watched=tuple(sorted(watched, key=lambda each: each.policy.name)),
    )


def _name(policy: AuthorizationPolicy) -> str:
    return policy.name


def string_match(text: str, *, ignore_case: bool = False) -> StringMatch:
    """A policy's value: ``*`` is anything but empty, ``abc*`` a prefix, ``*abc`` a suffix, else exact."""
    if text == "*":
        return StringMatch(MatchKind.NON_EMPTY)
    if text.startswith("*"):
        return StringMatch(MatchKind.SUFFIX, text[1:], ignore_case)
    if text.endswith("*"):
        return StringMatch(MatchKind.PREFIX, text[:-1], ignore_case)
    return StringMatch(MatchKind.EXACT, text, ignore_case)


def glob_match(text: str) -> StringMatch:
    """A namespace, in which ``*`` may stand anywhere."""
    if "*" in text[1:-1]:
        return StringMatch(MatchKind.REGEX, ".*".join(re.escape(part) for part in text.split("*")))
    return string_match(text)


def path_match(text: str) -> StringMatch:
    """A path: as other values, or a template with ``{*}`` for one segment and ``{**}`` for any number."""
    if "{*}" not in text and "{**}" not in text:
        return string_match(text)
    pattern = re.escape(text).replace(re.escape("{**}"), ".*").replace(re.escape("{*}"), "[^/]+")
    return StringMatch(MatchKind.REGEX, pattern)


@attrs.frozen
class _Writer:
    """Writes the rules of one policy."""

    namespace: str
    trust_domains: tuple[str, ...]
    allow: bool
    tcp: bool
    tokens: bool

    def rule(self, rule: api.Rule) -> AuthorizationRule:
        try:
            return AuthorizationRule(
                sources=self._sources(rule.from_),
                operations=self._operations(rule.to),
                conditions=self._conditions(rule.when),
            )
        except _Never:
            return NEVER

    def _unsupported(self) -> None:
        """Something cannot be decided here: an ALLOW rule never matches by it, a DENY rule does without it."""
        if self.allow:
            raise _Never

    def _sources(self, entries: tuple[api.From, ...]) -> tuple[Source, ...]:
        found = []
        for entry in entries:
            try:
                source = self._source(entry.source or api.Source())
            except _NotThis:
                continue
            if source == Source():
                return ()
            found.append(source)
        if entries and not found:
            raise _Never
        return tuple(found)

    def _source(self, source: api.Source) -> Source:
        if source == api.Source():
            self._unsupported()
        self._token(source.requestPrincipals, source.notRequestPrincipals, _NotThis)
        return Source(
            principals=self._principals(source.principals),
            not_principals=self._principals(source.notPrincipals),
            service_accounts=tuple(map(self._account, source.serviceAccounts)),
            not_service_accounts=tuple(map(self._account, source.notServiceAccounts)),
            trust_domains=tuple(map(_domain, source.trustDomains)),
            not_trust_domains=tuple(map(_domain, source.notTrustDomains)),
            namespaces=tuple(map(glob_match, source.namespaces)),
            not_namespaces=tuple(map(glob_match, source.notNamespaces)),
            ip_blocks=source.ipBlocks,
            not_ip_blocks=source.notIpBlocks,
            remote_ip_blocks=source.remoteIpBlocks,
            not_remote_ip_blocks=source.notRemoteIpBlocks,
        )

    def _token(self, values: tuple[str, ...], not_values: tuple[str, ...], never: type[Exception]) -> None:
        """A field about a verified token: nothing can be compiled from it, but it may rule out what it is part of.

        Without verified tokens every value is absent: it never equals, and is always something else.
        """
        if not values and not not_values:
            return
        if self.tcp or self.tokens:
            self._unsupported()
        elif values:
            raise never

    def _account(self, text: str) -> StringMatch:
        namespace, slash, account = text.rpartition("/")
        owner = re.escape(namespace if slash else self.namespace)
        # Istio lets an identity say more between the two and after them.
        return StringMatch(MatchKind.REGEX, rf".+/ns/{owner}/(.+/|)sa/{re.escape(account)}(/.+)?")

    def _principals(self, texts: Iterable[str]) -> tuple[StringMatch, ...]:
        named = (trust.principals(text.removeprefix("spiffe://"), self.trust_domains) for text in texts)
        return tuple(string_match(each) for names_of_one in named for each in names_of_one)

    def _operations(self, entries: tuple[api.To, ...]) -> tuple[Operation, ...]:
        found = []
        for entry in entries:
            operation = self._operation(entry.operation or api.Operation())
            if operation == Operation():
                return ()
            found.append(operation)
        return tuple(found)

    def _operation(self, operation: api.Operation) -> Operation:
        if operation == api.Operation():
            self._unsupported()
        ports, not_ports = _ports(operation.ports), _ports(operation.notPorts)
        if self.tcp:
            if attrs.evolve(operation, ports=(), notPorts=()) != api.Operation():
                self._unsupported()
            return Operation(ports=ports, not_ports=not_ports)
        return Operation(
            hosts=tuple(string_match(each, ignore_case=True) for each in operation.hosts),
            not_hosts=tuple(string_match(each, ignore_case=True) for each in operation.notHosts),
            ports=ports,
            not_ports=not_ports,
            methods=tuple(map(string_match, operation.methods)),
            not_methods=tuple(map(string_match, operation.notMethods)),
            paths=tuple(map(path_match, operation.paths)),
            not_paths=tuple(map(path_match, operation.notPaths)),
        )

    def _conditions(self, conditions: tuple[api.Condition, ...]) -> tuple[Condition, ...]:
        found = []
        for condition in conditions:
            key = condition.key
            if key.startswith(JWT_KEYS):
                self._token(condition.values, condition.notValues, _Never)
            elif key in KEYS or (HEADER_KEY.fullmatch(key) and not self.tcp):
                found.append(self._condition(condition))
            elif key.startswith("request.headers[") and not self.tcp:
                # No request can have a header of this name: it never equals, and is always something else.
                if condition.values:
                    raise _Never
            else:
                self._unsupported()
        return tuple(found)

    def _condition(self, condition: api.Condition) -> Condition:
        key = condition.key
        compare = self._comparison(key)
        # Accounts and trust domains are parts of the principal.
        key = "source.principal" if key in {"source.serviceAccount", "source.trustDomain"} else key
        return Condition(key, compare(condition.values), compare(condition.notValues))

    def _comparison(self, key: str) -> Callable[[tuple[str, ...]], tuple[StringMatch, ...]]:
        if key == "source.principal":
            return self._principals
        one: Callable[[str], StringMatch] = string_match
        if key == "source.serviceAccount":
            one = self._account
        elif key == "source.trustDomain":
            one = _domain
        elif key == "source.namespace":
            one = glob_match
        elif key.endswith((".ip", ".port")):
            one = _exactly
        return lambda values: tuple(map(one, values))


def _exactly(text: str) -> StringMatch:
    return StringMatch(MatchKind.EXACT, text)


def _domain(text: str) -> StringMatch:
    """A trust domain, as the beginning of a principal; ``*.example`` needs a pattern."""
    if "*" in text:
        # Its star must not reach past the domain, into a namespace that looks like one.
        return StringMatch(MatchKind.REGEX, "[^/]*".join(re.escape(part) for part in text.split("*")) + "/.*")
    return StringMatch(MatchKind.PREFIX, f"{text}/")


def _ports(texts: Iterable[str]) -> tuple[int, ...]:
    """Port numbers; what is none can never be a connection's port."""
    return tuple(int(text) if text.isascii() and text.isdigit() else 0 for text in texts)
