"""Security policies: whom they mean, and where keys may be fetched from. Pure.

Source: Istio's ``analyzers/authz`` and ``analyzers/authn``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from meshd.api.document import Document
from meshd.api.foreign import look_up
from meshd.api.problem import Problem, error, warning
from meshd.api.security import AuthorizationPolicy, RequestAuthentication
from meshd.control.analysis.facts import Facts, told
from meshd.control.analysis.istio.injected import in_mesh
from meshd.control.analysis.pod_facts import labels_text
from meshd.control.finding import Finding

NOT_FOUND = "IST0101"
NO_WORKLOADS = "IST0127"
UNRESTRICTED_FETCH = "IST0175"

BLOCKED: Final = "BLOCKED_CIDRS_IN_JWKS_URIS"
"""Environment of istiod: addresses from which it fetches no keys."""

MOST_NAMES: Final = 5
"""Of policies in one message."""


def authorization(facts: Facts) -> Iterable[Finding]:
    """Policies that mean no workload, and namespaces that are not there."""
    for document in facts.all(AuthorizationPolicy):
        yield from told(document, _workloads(facts, document))
        yield from told(document, _namespaces(facts, document))


def _workloads(facts: Facts, document: Document) -> Iterator[Problem]:
    policy: AuthorizationPolicy = document.resource
    if policy.targetRef is not None or policy.targetRefs:
        return
    if all(known.document is None for known in facts.pods.everything):
        return  # Nobody says which workloads there are.
    for_all = document.namespace == facts.mesh.root_namespace
    if policy.selector is None and for_all:
        return
    selector = policy.selector.matchLabels if policy.selector is not None else {}
    candidates = facts.pods.select(selector, None if for_all else document.namespace)
    if any(in_mesh(known, facts) for known in candidates):
        return
    where = "the mesh" if for_all else f"namespace {document.namespace}"
    whom = f"with the labels {labels_text(selector)}" if selector else "at all"
    path = ("spec", "selector") if policy.selector is not None else ("metadata", "namespace")
    yield warning(path, f"there is no workload {whom} in {where}: the policy has no effect", code=NO_WORKLOADS)


def _namespaces(facts: Facts, document: Document) -> Iterator[Problem]:
    if not facts.namespaces:
        return  # Nobody says which namespaces there are.
    policy: AuthorizationPolicy = document.resource
    for index, rule in enumerate(policy.rules):
        for at, each in enumerate(rule.from_):
            for field in ("namespaces", "notNamespaces") if each.source is not None else ():
                for place, name in enumerate(getattr(each.source, field)):
                    if not any(_means(name, namespace) for namespace in facts.namespaces):
                        path = ("spec", "rules", index, "from", at, "source", field, place)
                        yield error(path, f'there is no namespace "{name}": nobody calls from there', code=NOT_FOUND)


def _means(written: str, namespace: str) -> bool:
    """Whether a namespace of a policy, ``*-prod`` or ``team-*``, means this one."""
    if written == "*":
        return True
    if written.startswith("*"):
        return namespace.endswith(written[1:])
    if written.endswith("*"):
        return namespace.startswith(written[:-1])
    return namespace.lower() == written.lower()


def blocked_addresses(facts: Facts) -> Iterable[Finding]:
    """An istiod that fetches keys from wherever a RequestAuthentication says."""
    names = sorted(f"{each.namespace}/{each.name}" for each in facts.all(RequestAuthentication))
    for document in facts.kind("Deployment", "apps") if names else ():
        if document.labels.get("app") != "istiod" or _is_blocked(document):
            continue
        listed = ", ".join(names[:MOST_NAMES])
        if len(names) > MOST_NAMES:
            listed = f"{listed} and {len(names) - MOST_NAMES} more"
        message = f"fetches keys from any address that {listed} may say: set {BLOCKED}"
        yield from told(document, (warning(("metadata", "name"), message, code=UNRESTRICTED_FETCH),))


def _is_blocked(document: Document) -> bool:
    containers: Any = document.resource.get("spec", "template", "spec", "containers")
    return any(
        look_up(variable, "name") == BLOCKED and bool(look_up(variable, "value"))
        for container in (containers if isinstance(containers, tuple) else ())
        for variable in look_up(container, "env") or ()
    )
