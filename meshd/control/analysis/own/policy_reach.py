"""AuthorizationPolicies on the ports they are for: callers without identity, ports without requests. Pure.

Source: Istio's ``pilot/pkg/security/authz/builder``: an identity is known over
mTLS only; where requests are not seen, an ALLOW rule that speaks of them is
dropped and a DENY rule is as wide as without them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import attrs

from meshd.api.document import Document, Path
from meshd.api.problem import Problem
from meshd.api.security import Action, AuthorizationPolicy, MutualTLSMode, Operation, PeerAuthentication, Rule, Source
from meshd.control.analysis.facts import Facts, told
from meshd.control.analysis.own.remarks import remark
from meshd.control.analysis.workload_facts import Described, Labels, ServedPort
from meshd.control.finding import Finding
from meshd.control.services import Protocol

IDENTITY_WITHOUT_MTLS: Final = "MD0052"
REQUESTS_ON_TCP: Final = "MD0053"
SERVICE_PORT: Final = "MD0057"

IDENTITY: Final = ("principals", "namespaces", "serviceAccounts", "trustDomains")
NOT_IDENTITY: Final = ("notPrincipals", "notNamespaces", "notServiceAccounts", "notTrustDomains")
IDENTITY_KEYS: Final = frozenset(
    {"source.principal", "source.namespace", "source.serviceAccount", "source.trustDomain"}
)
OF_REQUESTS: Final = ("hosts", "notHosts", "methods", "notMethods", "paths", "notPaths")
OF_TOKENS: Final = ("requestPrincipals", "notRequestPrincipals")


@attrs.frozen
class Reach:
    """What one policy is for: workloads by their labels, and what services offer on them."""

    labels: tuple[tuple[str, Labels], ...]
    """Namespace and labels of each workload, or of what it selects by when none is known."""
    ports: tuple[tuple[Described, ServedPort], ...] = ()


def reach_of(facts: Facts, document: Document) -> Reach | None:
    """The reach of a policy; None when it is for no workloads (targets), or only watched."""
    policy: AuthorizationPolicy | PeerAuthentication = document.resource
    if isinstance(policy, AuthorizationPolicy) and (policy.targetRef is not None or policy.targetRefs):
        return None
    selector = dict(policy.selector.matchLabels) if policy.selector is not None else {}
    # Workloads of a namespace that are alike are judged once.
    known = {(each.namespace, each.labels): each for each in facts.workloads.selected(document.namespace, selector)}
    if not known:
        return Reach(((document.namespace, tuple(sorted(selector.items()))),))
    return Reach(
        tuple((each.namespace, each.labels) for each in known.values()),
        tuple((each, served) for each in known.values() for served in facts.workloads.ports(each)),
    )


def identities(facts: Facts) -> Iterable[Finding]:
    """Rules about identities on ports that take callers without one."""
    if not facts.all(PeerAuthentication):
        return  # Nothing here speaks of mTLS: it is decided elsewhere.
    for document in facts.all(AuthorizationPolicy):
        reach = reach_of(facts, document) if _asks_identity(document.resource) else None
        if reach is not None:
            modes = {
                facts.workloads.mode(each.namespace, each.labels, served.number) for each, served in reach.ports
            } or {facts.workloads.mode(namespace, labels, 0) for namespace, labels in reach.labels}
            yield from told(document, _identities(document.resource, modes))


def _asks_identity(policy: AuthorizationPolicy) -> bool:
    return any(_given(source, (*IDENTITY, *NOT_IDENTITY)) for rule in policy.rules for source in _sources(rule)) or any(
        condition.key in IDENTITY_KEYS for rule in policy.rules for condition in rule.when
    )


def _sources(rule: Rule) -> Iterator[Source]:
    return (each.source for each in rule.from_ if each.source is not None)


def _operations(rule: Rule) -> Iterator[Operation]:
    return (each.operation for each in rule.to if each.operation is not None)


def _given(value: Source | Operation, names: Sequence[str]) -> list[str]:
    return [name for name in names if getattr(value, name)]


def _identities(policy: AuthorizationPolicy, modes: set[MutualTLSMode]) -> Iterator[Problem]:
    plain_only = modes == {MutualTLSMode.DISABLE}
    plain_too = bool(modes & {MutualTLSMode.DISABLE, MutualTLSMode.PERMISSIVE})
    for index, rule in enumerate(policy.rules):
        for at, each in enumerate(rule.from_):
            source = each.source
            path: Path = ("spec", "rules", index, "from", at, "source")
            positive = _given(source, IDENTITY) if source is not None else []
            negative = _given(source, NOT_IDENTITY) if source is not None else []
            if policy.action is Action.ALLOW and positive and plain_only:
                yield remark(
                    IDENTITY_WITHOUT_MTLS,
                    (*path, positive[0]),
                    "this never allows anybody: the ports take plaintext only (PeerAuthentication DISABLE), so that no "
                    "caller has an identity; use PERMISSIVE or STRICT, or ipBlocks",
                )
            elif policy.action is Action.DENY and positive and not negative and plain_too:
                yield remark(
                    IDENTITY_WITHOUT_MTLS,
                    (*path, positive[0]),
                    f"a caller slips past this by speaking plaintext, which the ports take ({_modes(modes)}): it then has "
                    "no identity and nothing is denied; make them STRICT, or deny with the opposite of those allowed",
                )
            elif policy.action is Action.ALLOW and negative and not positive and plain_too:
                yield remark(
                    IDENTITY_WITHOUT_MTLS,
                    (*path, negative[0]),
                    f"callers that speak plaintext, which the ports take ({_modes(modes)}), have no identity and are "
                    'allowed by this; make them STRICT, or add principals: ["*"]',
                )


def _modes(modes: set[MutualTLSMode]) -> str:
    return "PeerAuthentication " + " and ".join(
        sorted(mode.value for mode in modes if mode is not MutualTLSMode.STRICT)
    )


def requests_on_tcp(facts: Facts) -> Iterable[Finding]:
    """Rules about requests for ports on which the proxy sees none."""
    if facts.lost("AuthorizationPolicy"):
        return  # One that could not be read may allow what the others do not.
    documents = [each for each in facts.all(AuthorizationPolicy) if _in_force(each)]
    reaches = [(each, reach) for each in documents if (reach := reach_of(facts, each)) is not None]
    surviving = _surviving(reaches)
    for document, reach in reaches:
        opaque = [(known, served) for known, served in reach.ports if _is_opaque(served)]
        if opaque:
            yield from told(document, _on_tcp(document.resource, opaque, surviving))


def _in_force(document: Document) -> bool:
    policy: AuthorizationPolicy = document.resource
    return policy.action in {Action.ALLOW, Action.DENY} and document.annotations.get("istio.io/dry-run") != "true"


def _is_opaque(served: ServedPort) -> bool:
    return bool(served.number) and (served.port.protocol is Protocol.TCP or served.port.protocol.tls)


def _surviving(reaches: Sequence[tuple[Document, Reach]]) -> set[tuple[str, Labels, int]]:
    """The ports without requests on which some ALLOW rule is left."""
    found: set[tuple[str, Labels, int]] = set()
    for document, reach in reaches:
        policy: AuthorizationPolicy = document.resource
        if policy.action is not Action.ALLOW:
            continue
        for known, served in reach.ports:
            if _is_opaque(served) and any(
                not _about_requests(rule) and _is_for(rule, served.number) for rule in policy.rules
            ):
                found.add((known.namespace, known.labels, served.number))
    return found


def _about_requests(rule: Rule) -> bool:
    return (
        any(_given(operation, OF_REQUESTS) for operation in _operations(rule))
        or any(_given(source, OF_TOKENS) for source in _sources(rule))
        or any(condition.key.startswith("request.") for condition in rule.when)
    )


def _is_for(rule: Rule, port: int) -> bool:
    """Whether a rule can match on a workload's port."""
    operations = list(_operations(rule))
    named = [condition.values for condition in rule.when if condition.key == "destination.port" and condition.values]
    if any(str(port) not in values for values in named):
        return False
    if not operations:
        return True
    return any((not each.ports or str(port) in each.ports) and str(port) not in each.notPorts for each in operations)


def _on_tcp(
    policy: AuthorizationPolicy,
    opaque: Sequence[tuple[Described, ServedPort]],
    surviving: set[tuple[str, Labels, int]],
) -> Iterator[Problem]:
    for index, rule in enumerate(policy.rules):
        if not _about_requests(rule):
            continue
        for known, served in opaque:
            if not _is_for(rule, served.number):
                continue
            where = f"port {served.number} of {served.service.name} ({served.port.protocol.value})"
            if policy.action is Action.DENY:
                yield remark(
                    REQUESTS_ON_TCP,
                    ("spec", "rules", index),
                    f"on {where} the proxy sees no requests, and this rule denies there whatever its other fields match: "
                    "name the HTTP ports in to.operation.ports, or name the port http-... if it speaks HTTP",
                )
                break
            if (known.namespace, known.labels, served.number) not in surviving:
                yield remark(
                    REQUESTS_ON_TCP,
                    ("spec", "rules", index),
                    f"on {where} the proxy sees no requests, this rule allows nobody there and no other does: every "
                    "connection is refused; add a rule for that port without hosts, methods, paths and tokens",
                )
                break


def service_ports(facts: Facts) -> Iterable[Finding]:
    """Ports of services where ports of workloads are meant."""
    for document in facts.all(AuthorizationPolicy):
        asked = list(_asked(document.resource))
        reach = reach_of(facts, document) if asked else None
        if reach is not None:
            yield from told(document, _service_ports(reach, asked))
    for document in facts.all(PeerAuthentication):
        policy: PeerAuthentication = document.resource
        keys = [(number, ("spec", "portLevelMtls", number)) for number in policy.portLevelMtls]
        if keys:
            reach = reach_of(facts, document)
            if reach is not None:
                yield from told(document, _service_ports(reach, keys))


def _asked(policy: AuthorizationPolicy) -> Iterator[tuple[str, Path]]:
    for index, rule in enumerate(policy.rules):
        for at, each in enumerate(rule.to):
            for name in ("ports", "notPorts"):
                values = getattr(each.operation, name) if each.operation is not None else ()
                for number, port in enumerate(values):
                    yield port, ("spec", "rules", index, "to", at, "operation", name, number)


def _service_ports(reach: Reach, asked: Iterable[tuple[str, Path]]) -> Iterator[Problem]:
    targets: dict[str, set[str]] = {}
    for _, served in reach.ports:
        if not served.number:
            return  # A port that is only named may be any.
        targets.setdefault(str(served.port.number), set()).add(str(served.number))
    own = {number for numbers in targets.values() for number in numbers}
    for port, path in asked:
        if port in targets and port not in own:
            meant = " or ".join(sorted(targets[port]))
            yield remark(
                SERVICE_PORT,
                path,
                f"{port} is the port of a Service, and policies see the workload's own: this never matches; "
                f"write {meant} (its targetPort)",
                at_value=not str(path[1]).startswith("portLevel"),
            )
