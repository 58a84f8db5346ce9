"""PeerAuthentication and AuthorizationPolicy alone. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import attrs

from meshd.api.document import Document, Path
from meshd.api.problem import Problem, error, warning
from meshd.api.security import Action, AuthorizationPolicy, Condition, Operation, PeerAuthentication, Rule, Source
from meshd.control.analysis import checks

CONDITION_KEYS = (
    *("source.ip", "remote.ip", "source.namespace", "source.serviceAccount", "source.trustDomain"),
    *("source.principal", "request.auth.principal", "request.auth.audiences", "request.auth.presenter"),
    *("destination.ip", "destination.port", "connection.sni"),
)
"""Keys of ``when`` without brackets."""

_BRACKETED = re.compile(
    r"request\.headers\[[^\[\]]+\]|(?:request\.auth\.claims|experimental\.envoy\.filters\.[^\[]+)(?:\[[^\[\]]+\])+"
)
_HEADER_KEY = "request.headers["
_IP_KEYS = ("source.ip", "remote.ip", "destination.ip")
_RELIES_ON_JWT = ("requestPrincipals", "notRequestPrincipals")
_TEMPLATE = re.compile(r"\{\*\*?\}")

TARGET_KINDS = ("Gateway", "GatewayClass", "Service", "ServiceEntry")

DRY_RUN = "istio.io/dry-run"
"""The annotation of a policy that is only tried."""

MOST_SERVICE_ACCOUNTS = 16


def validate_peer_authentication(document: Document) -> Iterator[Problem]:
    """Istio's rules for a PeerAuthentication."""
    policy: PeerAuthentication = document.resource
    path: Path = ("spec",)
    selected = policy.selector is not None and bool(policy.selector.matchLabels)
    if policy.selector is not None:
        yield from checks.selector(policy.selector.matchLabels, (*path, "selector", "matchLabels"))
    ports = (*path, "portLevelMtls")
    if policy.portLevelMtls and not selected:
        yield error(ports, "portLevelMtls needs a selector", at_value=False)
    if not policy.portLevelMtls and document.has(ports):
        yield error(ports, "portLevelMtls is empty: leave it out, or name ports", at_value=False)
    for number in policy.portLevelMtls:
        yield from checks.port_text(number, (*ports, number), at_value=False)


def validate_authorization_policy(document: Document) -> Iterator[Problem]:
    """Istio's rules for an AuthorizationPolicy."""
    policy: AuthorizationPolicy = document.resource
    path: Path = ("spec",)
    if policy.selector is not None:
        yield from checks.selector(policy.selector.matchLabels, (*path, "selector", "matchLabels"))
        if policy.targetRefs or policy.targetRef is not None:
            yield error((*path, "selector"), "selector and targetRefs cannot both be given: choose one", at_value=False)
    for name in ("targetRef", "targetRefs"):
        if getattr(policy, name):
            yield from _targets(policy, path)
            yield warning((*path, name), "meshd does not support this field yet: the policy is applied to nothing")
    yield from _action(document, policy, path)
    for index, rule in enumerate(policy.rules):
        yield from _rule(document, rule, (*path, "rules", index))


def _targets(policy: AuthorizationPolicy, path: Path) -> Iterator[Problem]:
    placed = [((*path, "targetRefs", index), target) for index, target in enumerate(policy.targetRefs)]
    if policy.targetRef is not None:
        placed.append(((*path, "targetRef"), policy.targetRef))
    for here, target in placed:
        if target.kind not in TARGET_KINDS:
            yield error((*here, "kind"), f'"{target.kind}" is not one of {", ".join(TARGET_KINDS)}')


def _action(document: Document, policy: AuthorizationPolicy, path: Path) -> Iterator[Problem]:
    here = (*path, "action")
    if policy.action is Action.CUSTOM:
        if policy.provider is None or not policy.provider.name:
            yield error(path, "CUSTOM needs provider.name", at_value=False)
        yield warning(here, "meshd does not support CUSTOM yet: what it matches is denied")
    elif policy.provider is not None:
        yield error((*path, "provider"), "a provider needs action CUSTOM", at_value=False)
    if policy.action is Action.AUDIT:
        yield warning(here, "meshd does not support AUDIT yet: it has no effect")
    dry_run = document.annotations.get(DRY_RUN)
    if dry_run is not None:
        at = ("metadata", "annotations", DRY_RUN)
        if dry_run not in ("true", "false"):
            yield error(at, f'"{dry_run}" is neither "true" nor "false"')
        elif dry_run == "true":
            yield warning(at, "meshd does not report dry runs yet: the policy has no effect")
    if policy.action is not Action.ALLOW and not document.has((*path, "rules")):
        yield error(
            path, f"{policy.action} without rules never applies; rules: [{{}}] matches everything", at_value=False
        )


def _rule(document: Document, rule: Rule, path: Path) -> Iterator[Problem]:
    for name, entries in (("from", rule.from_), ("to", rule.to)):
        if not entries and document.has((*path, name)):
            yield error((*path, name), f"{name} is empty: leave it out to match everything", at_value=False)
    for index, each in enumerate(rule.from_):
        here = (*path, "from", index)
        if each.source is None:
            yield error(here, "source is missing", at_value=False)
        else:
            yield from _source(each.source, (*here, "source"))
    for index, entry in enumerate(rule.to):
        here = (*path, "to", index)
        if entry.operation is None:
            yield error(here, "operation is missing", at_value=False)
        else:
            yield from _operation(entry.operation, (*here, "operation"))
    for index, condition in enumerate(rule.when):
        yield from _condition(condition, (*path, "when", index))


def _fields(value: Source | Operation) -> dict[str, tuple[str, ...]]:
    return {field.name: getattr(value, field.name) for field in attrs.fields(type(value))}


def _source(source: Source, path: Path) -> Iterator[Problem]:
    fields = _fields(source)
    if not any(fields.values()):
        yield error(path, "the source is empty: it needs at least one field", at_value=False)
    yield from _not_empty(fields, path)
    for name in ("ipBlocks", "notIpBlocks", "remoteIpBlocks", "notRemoteIpBlocks"):
        for index, block in enumerate(fields[name]):
            yield from checks.subnet(block, (*path, name, index))
    if (source.serviceAccounts or source.notServiceAccounts) and (
        source.principals or source.notPrincipals or source.namespaces or source.notNamespaces
    ):
        yield error(path, "serviceAccounts cannot stand with namespaces or principals", at_value=False)
    for name in ("serviceAccounts", "notServiceAccounts"):
        yield from _service_accounts(fields[name], (*path, name))
    for name in ("principals", "notPrincipals"):
        for index, principal in enumerate(fields[name]):
            if principal.startswith("spiffe://"):
                yield warning((*path, name, index), "principals are without spiffe://: this never matches")
            yield from _stars(principal, (*path, name, index))
    for name in _RELIES_ON_JWT:
        if fields[name]:
            yield warning((*path, name), "meshd does not validate JWTs yet: no request has a request principal")


def _service_accounts(accounts: Sequence[str], path: Path) -> Iterator[Problem]:
    if len(accounts) > MOST_SERVICE_ACCOUNTS:
        yield error(path, f"{len(accounts)} service accounts are more than {MOST_SERVICE_ACCOUNTS}", at_value=False)
    for index, account in enumerate(accounts):
        parts = account.split("/")
        if len(parts) > 2 or not all(parts) or "*" in account:
            yield error((*path, index), f'"{account}" is not a service account: name or namespace/name')


def _operation(operation: Operation, path: Path) -> Iterator[Problem]:
    fields = _fields(operation)
    if not any(fields.values()):
        yield error(path, "the operation is empty: it needs at least one field", at_value=False)
    yield from _not_empty(fields, path)
    for name in ("ports", "notPorts"):
        for index, text in enumerate(fields[name]):
            yield from checks.port_text(text, (*path, name, index))
    for name in ("paths", "notPaths"):
        for index, text in enumerate(fields[name]):
            yield from _path(text, (*path, name, index))
    for name in ("methods", "notMethods", "hosts", "notHosts"):
        for index, text in enumerate(fields[name]):
            yield from _stars(text, (*path, name, index))


def _path(text: str, path: Path) -> Iterator[Problem]:
    """A pattern of a path: exact, ``/a*``, ``*.html``, ``*``, or a template with ``{*}`` and ``{**}``."""
    if "{" not in text and "}" not in text:
        yield from _stars(text, path)
        return
    reason = _why_not_template(text)
    if reason:
        yield error(path, f'"{text}" is not a path template: {reason}')


def _why_not_template(text: str) -> str:
    operators = _TEMPLATE.findall(text)
    rest = _TEMPLATE.sub("", text)
    if "*" in rest or "{" in rest or "}" in rest:
        return '{*} is one segment, {**} the rest; no other "*" or braces'
    if "{**}" in operators[:-1]:
        return "{**} must be the last of its operators"
    if any(_TEMPLATE.search(segment) and not _TEMPLATE.fullmatch(segment) for segment in text.split("/")):
        return "{*} and {**} stand for whole segments"
    return ""


def _stars(text: str, path: Path) -> Iterator[Problem]:
    if "*" in text[1:-1] or (len(text) > 1 and text.startswith("*") and text.endswith("*")):
        yield warning(path, f'in "{text}" only a "*" at the beginning or at the end stands for anything')


def _not_empty(fields: dict[str, tuple[str, ...]], path: Path) -> Iterator[Problem]:
    for name, values in fields.items():
        for index, value in enumerate(values):
            if not value:
                yield error((*path, name, index), "the value is empty")


def _condition(condition: Condition, path: Path) -> Iterator[Problem]:
    if not condition.values and not condition.notValues:
        yield error(path, "values or notValues is needed", at_value=False)
    yield from _not_empty({"values": condition.values, "notValues": condition.notValues}, path)
    key = condition.key
    if key not in CONDITION_KEYS and not _BRACKETED.fullmatch(key):
        known = ", ".join((*CONDITION_KEYS, "request.headers[name]", "request.auth.claims[name]"))
        yield error((*path, "key"), f'"{key}" is not an attribute of a request; known: {known}')
        return
    if key.startswith(_HEADER_KEY):
        yield from checks.header_name(key[len(_HEADER_KEY) : -1], (*path, "key"))
    for name in ("values", "notValues"):
        for index, value in enumerate(getattr(condition, name)):
            here = (*path, name, index)
            if key in _IP_KEYS:
                yield from checks.subnet(value, here)
            elif key == "destination.port":
                yield from checks.port_text(value, here)
    if key.startswith("request.auth."):
        yield warning((*path, "key"), "meshd does not validate JWTs yet: no request has this attribute")
    elif key.startswith("experimental."):
        yield warning((*path, "key"), "meshd does not support this attribute: no request has it")
