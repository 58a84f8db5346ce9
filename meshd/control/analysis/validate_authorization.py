"""AuthorizationPolicy alone. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import attrs

from meshd.api.document import Document, Path
from meshd.api.problem import FIELD_NOT_SUPPORTED, FIELD_WITHOUT_EFFECT, Problem, error, warning
from meshd.api.security import Action, AuthorizationPolicy, Condition, Operation, Rule, Source
from meshd.control.analysis import checks, selection

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
_BLOCKS = ("ipBlocks", "notIpBlocks", "remoteIpBlocks", "notRemoteIpBlocks")
_RELIES_ON_JWT = ("requestPrincipals", "notRequestPrincipals")
_NOT_CUSTOM = (
    *("namespaces", "notNamespaces", "principals", "notPrincipals", "serviceAccounts", "notServiceAccounts"),
    *_RELIES_ON_JWT,
)
"""Fields of a source that a provider cannot be asked about."""
_NOT_CUSTOM_KEYS = ("source.namespace", "source.principal", "source.serviceAccount")
_TEMPLATE = re.compile(r"\{\*\*?\}")
_UNESCAPED = "letters, digits and -._~!$&'()+,;=:@%"
_LITERAL = re.compile(r"[A-Za-z0-9\-._~!$&'()+,;=:@%/]*")
"""What may stand around the operators of a template."""

DRY_RUN = "istio.io/dry-run"
"""The annotation of a policy that is only tried."""

MOST_SERVICE_ACCOUNTS = 16
LONGEST_SERVICE_ACCOUNT = 320
MOST_RULES = 512


def validate(document: Document) -> Iterator[Problem]:
    """Istio's rules for an AuthorizationPolicy."""
    policy: AuthorizationPolicy = document.resource
    path: Path = ("spec",)
    yield from selection.selecting(policy, path)
    for name in ("targetRef", "targetRefs"):
        if getattr(policy, name):
            yield warning(
                (*path, name),
                "meshd does not support this field yet: the policy is applied to nothing",
                code=FIELD_NOT_SUPPORTED,
            )
    yield from _action(document, policy, path)
    yield from _dry_run(document, policy)
    if len(policy.rules) > MOST_RULES:
        yield error((*path, "rules"), f"more than {MOST_RULES} rules", at_value=False)
    for index, rule in enumerate(policy.rules):
        here = (*path, "rules", index)
        yield from _rule(document, rule, here)
        if policy.action is Action.CUSTOM:
            yield from _custom(rule, here)
        elif policy.action is Action.DENY and _denies_opaque_ports(rule):
            yield warning(
                here,
                "a DENY rule of HTTP attributes only denies everything on TCP ports: name the ports (to: operation: ports)",
            )


def _action(document: Document, policy: AuthorizationPolicy, path: Path) -> Iterator[Problem]:
    here = (*path, "action")
    if policy.action is Action.CUSTOM:
        if policy.provider is None or not policy.provider.name:
            yield error(path, "CUSTOM needs provider.name", at_value=False)
        yield warning(here, "meshd does not support CUSTOM yet: what it matches is denied", code=FIELD_NOT_SUPPORTED)
    elif policy.provider is not None:
        yield error((*path, "provider"), "a provider needs action CUSTOM", at_value=False)
    if policy.action is Action.AUDIT:
        yield warning(here, "meshd does not support AUDIT yet: it has no effect", code=FIELD_NOT_SUPPORTED)
    if policy.action in (Action.DENY, Action.CUSTOM) and not policy.rules:
        yield error(
            path, f"{policy.action} without rules never applies; rules: [{{}}] matches everything", at_value=False
        )
    elif policy.action is Action.AUDIT and not document.has((*path, "rules")):
        yield warning(path, "AUDIT without rules never applies", code=FIELD_WITHOUT_EFFECT)


def _dry_run(document: Document, policy: AuthorizationPolicy) -> Iterator[Problem]:
    value = document.annotations.get(DRY_RUN)
    if value is None:
        return
    at = ("metadata", "annotations", DRY_RUN)
    if policy.action not in (Action.ALLOW, Action.DENY):
        yield error(at, f"{policy.action} cannot be only tried: ALLOW and DENY can")
    elif value not in ("true", "false"):
        yield error(at, f'"{value}" is neither "true" nor "false"')
    elif value == "true":
        yield warning(at, "meshd does not report dry runs yet: the policy has no effect", code=FIELD_NOT_SUPPORTED)


def _denies_opaque_ports(rule: Rule) -> bool:
    """Whether nothing of a rule can be judged without HTTP, so that opaque connections are denied by it."""
    sources = [each.source for each in rule.from_ if each.source is not None]
    operations = [each.operation for each in rule.to if each.operation is not None]
    if operations:
        return not any(each.ports or each.notPorts for each in operations)
    judged = {name for source in sources for name, values in _fields(source).items() if values}
    return bool(sources) and not judged.difference(_RELIES_ON_JWT)


def _custom(rule: Rule, path: Path) -> Iterator[Problem]:
    for index, each in enumerate(rule.from_):
        for name in _NOT_CUSTOM:
            if each.source is not None and getattr(each.source, name):
                yield error((*path, "from", index, "source", name), f"{name} is not supported with action CUSTOM")
    for index, condition in enumerate(rule.when):
        if condition.key in _NOT_CUSTOM_KEYS or condition.key.startswith("request.auth."):
            yield error((*path, "when", index, "key"), f"{condition.key} is not supported with action CUSTOM")


def _rule(document: Document, rule: Rule, path: Path) -> Iterator[Problem]:
    for name, entries in (("from", rule.from_), ("to", rule.to)):
        if not entries and document.has((*path, name)):
            yield error((*path, name), f"{name} is empty: leave it out to match everything", at_value=False)
        if len(entries) > MOST_RULES:
            yield error((*path, name), f"more than {MOST_RULES} entries", at_value=False)
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
    for name in _BLOCKS:
        for index, block in enumerate(fields[name]):
            yield from checks.subnet(block, (*path, name, index))
    if (source.serviceAccounts or source.notServiceAccounts) and (
        source.principals or source.notPrincipals or source.namespaces or source.notNamespaces
    ):
        yield error(
            path,
            "serviceAccounts say who it is already: leave namespaces and principals out, or write another source",
            at_value=False,
        )
    for name in ("serviceAccounts", "notServiceAccounts"):
        yield from _service_accounts(fields[name], (*path, name))
    for name in ("principals", "notPrincipals"):
        for index, principal in enumerate(fields[name]):
            if principal.startswith("spiffe://"):
                yield warning(
                    (*path, name, index),
                    "principals are without spiffe://: this never matches",
                    code=FIELD_WITHOUT_EFFECT,
                )
            yield from _stars(principal, (*path, name, index))
    for name in _RELIES_ON_JWT:
        if fields[name]:
            yield warning(
                (*path, name),
                "meshd does not validate JWTs yet: no request has a request principal",
                code=FIELD_NOT_SUPPORTED,
            )


def _service_accounts(accounts: Sequence[str], path: Path) -> Iterator[Problem]:
    if len(accounts) > MOST_SERVICE_ACCOUNTS:
        yield error(path, f"{len(accounts)} service accounts are more than {MOST_SERVICE_ACCOUNTS}", at_value=False)
    for index, account in enumerate(accounts):
        parts = account.split("/")
        if len(account) > LONGEST_SERVICE_ACCOUNT:
            yield error((*path, index), f"the service account is longer than {LONGEST_SERVICE_ACCOUNT}")
        elif len(parts) > 2 or not all(parts) or "*" in account:
            yield error((*path, index), f'"{account}" is not a service account: name or namespace/name')


def _operation(operation: Operation, path: Path) -> Iterator[Problem]:
    fields = _fields(operation)
    if not any(fields.values()):
        yield error(path, "the operation is empty: it needs at least one field", at_value=False)
    yield from _not_empty(fields, path)
    for name in ("ports", "notPorts"):
        for index, text in enumerate(fields[name]):
            if text:
                yield from checks.port_text(text, (*path, name, index), least=0)
    for name in ("paths", "notPaths"):
        for index, text in enumerate(fields[name]):
            yield from _path(text, (*path, name, index))
    for name in ("methods", "notMethods", "hosts", "notHosts"):
        for index, text in enumerate(fields[name]):
            yield from _stars(text, (*path, name, index))


def _path(text: str, path: Path) -> Iterator[Problem]:
    """A pattern of a path: exact, ``/a*``, ``*.html``, ``*``, or a template with ``{*}`` and ``{**}``."""
    if _TEMPLATE.search(text) is None:
        yield from _stars(text, path)
        if "{" in text or "}" in text:
            yield error(path, f'"{text}" has braces, which are for {{*}} (one segment) and {{**}} (the rest) only')
    elif reason := _why_not_template(text):
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
    if not _LITERAL.fullmatch(rest):
        return f"the path of a request holds {_UNESCAPED} only; write anything else as %XX"
    return ""


def _stars(text: str, path: Path) -> Iterator[Problem]:
    if "*" in text[1:-1] or (len(text) > 1 and text.startswith("*") and text.endswith("*")):
        yield warning(
            path,
            f'in "{text}" only a "*" at the beginning or at the end stands for anything',
            code=FIELD_WITHOUT_EFFECT,
        )


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
    if key.startswith(_HEADER_KEY) and any(checks.header_name(key[len(_HEADER_KEY) : -1], ())):
        why = f'no request has a header of the name "{key[len(_HEADER_KEY) : -1]}"'
        yield warning((*path, "key"), why, code=FIELD_WITHOUT_EFFECT)
    for name in ("values", "notValues"):
        for index, value in enumerate(getattr(condition, name)):
            here = (*path, name, index)
            if key in _IP_KEYS:
                yield from checks.subnet(value, here)
            elif key == "destination.port":
                yield from checks.port_text(value, here, least=0)
    if key.startswith("request.auth."):
        why = "meshd does not validate JWTs yet: no request has this attribute"
        yield warning((*path, "key"), why, code=FIELD_NOT_SUPPORTED)
    elif key.startswith("experimental."):
        why = "meshd does not support this attribute: no request has it"
        yield warning((*path, "key"), why, code=FIELD_NOT_SUPPORTED)
