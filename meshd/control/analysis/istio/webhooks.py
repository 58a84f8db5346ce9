"""Istio's webhooks: that one pod is injected once, and that somebody is there to do it. Pure.

Source: Istio's ``analyzers/webhook`` and ``analyzers/externalcontrolplane``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from meshd.api.document import Document, Path
from meshd.api.foreign import look_up
from meshd.api.kinds import ADMISSION
from meshd.api.problem import Level, Problem, error, warning
from meshd.control.analysis.facts import Facts, told
from meshd.control.analysis.istio.injected import INJECTION, REVISION
from meshd.control.analysis.istio.label_selector import expressions, matches
from meshd.control.finding import Finding

INVALID_WEBHOOK = "IST0139"
BAD_ADDRESS = "IST0163"
ADDRESS_IS_NO_NAME = "IST0164"

RESERVED_DOMAINS: Final = frozenset({"example", "invalid", "localhost", "test"})
"""Nobody has names there (RFC 6761)."""

_NAMESPACE_LABELS: Final[tuple[dict[str, str], ...]] = ({}, {INJECTION: "enabled"}, {INJECTION: "disabled"})
_OBJECT_LABELS: Final[tuple[dict[str, str], ...]] = (
    {},
    {"sidecar.istio.io/inject": "true"},
    {"sidecar.istio.io/inject": "false"},
)


def hooks(document: Document) -> Iterator[tuple[Path, Any]]:
    """The webhooks of a configuration, with their places."""
    listed = document.resource.get("webhooks")
    for index, hook in enumerate(listed if isinstance(listed, tuple) else ()):
        yield ("webhooks", index), hook


def injectors(facts: Facts) -> Iterable[Finding]:
    """Pods that two webhooks would inject, and webhooks that lead nowhere."""
    documents = [
        document
        for document in facts.kind("MutatingWebhookConfiguration", ADMISSION)
        if _revisions(document)
        or any(str(look_up(hook, "name") or "").endswith("istio.io") for _, hook in hooks(document))
    ]
    every = [(document, path, hook) for document in documents for path, hook in hooks(document)]
    revisions = sorted({revision for document in documents for revision in _revisions(document)})
    overlaps: dict[int, set[str]] = {}
    for namespace in _with_revisions(_NAMESPACE_LABELS, revisions):
        for labels in _with_revisions(_OBJECT_LABELS, revisions):
            found = [
                index
                for index, (_, _, hook) in enumerate(every)
                if matches(look_up(hook, "namespaceSelector"), namespace)
                and matches(look_up(hook, "objectSelector"), labels)
            ]
            for index in found if len(found) > 1 else ():
                names = {_named(every[other]) for other in found if other != index}
                overlaps.setdefault(index, set()).update(names)
    for index, (document, path, hook) in enumerate(every):
        yield from told(document, _injector(facts, hook, path, sorted(overlaps.get(index, ()))))


def _named(entry: tuple[Document, Path, Any]) -> str:
    return f"{entry[0].name}/{look_up(entry[2], 'name')}"


def _injector(facts: Facts, hook: Any, path: Path, others: list[str]) -> Iterator[Problem]:
    if others:
        message = f"selects the same pods as {', '.join(others)}: they would be injected twice"
        yield error((*path, "name"), message, code=INVALID_WEBHOOK)
    service = look_up(hook, "clientConfig", "service")
    if service is not None:
        namespace, name = str(look_up(service, "namespace") or ""), str(look_up(service, "name") or "")
        if not facts.has("Service", "", namespace, name):
            message = f"there is no Service {namespace}/{name}: nobody answers this webhook"
            yield error((*path, "clientConfig", "service"), message, code=INVALID_WEBHOOK)


def _with_revisions(labels: tuple[dict[str, str], ...], revisions: list[str]) -> Iterator[dict[str, str]]:
    yield from labels
    for revision in revisions:
        for each in labels:
            yield {**each, REVISION: revision}


def _revisions(document: Document) -> set[str]:
    """The revisions that a configuration speaks of."""
    found = {document.labels[REVISION]} if REVISION in document.labels else set()
    for _, hook in hooks(document):
        for field in ("namespaceSelector", "objectSelector"):
            selector = look_up(hook, field)
            exact = look_up(selector, "matchLabels", REVISION)
            if exact is not None:
                found.add(str(exact))
            for expression in expressions(selector):
                if look_up(expression, "key") == REVISION:
                    found.update(str(value) for value in look_up(expression, "values") or ())
    return found


def external_control_plane(facts: Facts) -> Iterable[Finding]:
    """Addresses by which a cluster reaches a control plane elsewhere."""
    for kind in ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"):
        for document in facts.kind(kind, ADMISSION):
            if _is_istios(kind, document.name):
                for path, hook in hooks(document):
                    yield from told(document, _address(hook, path))


def _is_istios(kind: str, name: str) -> bool:
    if kind == "MutatingWebhookConfiguration":
        return name.startswith("istio-sidecar-injector")
    return name == "istiod-default-validator" or name.startswith("istio-validator")


def _address(hook: Any, path: Path) -> Iterator[Problem]:
    url, name = look_up(hook, "clientConfig", "url"), look_up(hook, "name")
    if url is None:
        if look_up(hook, "clientConfig", "service") is None:
            yield warning((*path, "clientConfig"), f"the webhook {name} has no address", code=BAD_ADDRESS)
        return
    where: Path = (*path, "clientConfig", "url")
    try:
        host = urlsplit(str(url)).hostname or ""
    except ValueError:
        host = ""
    if _is_address(host):
        message = f"{host} is an address rather than a name, which will not do in production"
        yield Problem(ADDRESS_IS_NO_NAME, Level.INFO, where, f"the webhook {name}: {message}", at_value=True)
    elif not _could_resolve(host):
        yield warning(where, f'"{url}" of the webhook {name} names no host', at_value=True, code=BAD_ADDRESS)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _could_resolve(host: str) -> bool:
    """Whether some resolver could know a name. Nobody is asked: an analysis is the same wherever it runs."""
    *inner, top = host.split(".")
    return bool(inner) and all(part and len(part) < 64 for part in (*inner, top)) and top not in RESERVED_DOMAINS
