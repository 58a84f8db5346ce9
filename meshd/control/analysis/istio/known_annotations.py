"""Istio's annotations on Kubernetes' objects: known, in their place, and of a value that works. Pure.

Source: Istio's ``analyzers/annotations`` and ``analyzers/maturity``, values by
``pkg/kube/inject/validate.go``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from meshd.api.document import Document, Path
from meshd.api.problem import Level, Problem, warning
from meshd.control.analysis.facts import Facts, told
from meshd.control.analysis.istio.annotation_table import ANNOTATIONS, ANY, INJECT, is_istios
from meshd.control.finding import Finding

MISPLACED = "IST0107"
UNKNOWN = "IST0108"
INVALID = "IST0125"
DEPRECATED = "IST0135"
ALPHA = "IST0136"

SET_BY_ISTIO: Final = frozenset({"sidecar.istio.io/status"})
SET_BY_CNI: Final = frozenset(
    {
        "sidecar.istio.io/interceptionMode",
        "traffic.sidecar.istio.io/excludeInboundPorts",
        "traffic.sidecar.istio.io/includeInboundPorts",
        "traffic.sidecar.istio.io/includeOutboundIPRanges",
    }
)
"""Written into every pod when Istio's network plug-in is at work."""


def misused(facts: Facts) -> Iterable[Finding]:
    """Annotations that are unknown, deprecated, misplaced or of a value that cannot be."""
    for document in _annotated(facts):
        yield from told(document, _judge(document))


def alpha(facts: Facts) -> Iterable[Finding]:
    """Annotations of features that are not finished."""
    for document in _annotated(facts):
        yield from told(document, _alpha(document))


def _annotated(facts: Facts) -> Iterator[Document]:
    for kind, group in (("Namespace", ""), ("Service", ""), ("Pod", ""), ("Deployment", "apps")):
        yield from (document for document in facts.metadata_of(kind, group) if document.annotations)


def _judge(document: Document) -> Iterator[Problem]:
    for name, value in document.annotations.items():
        if not is_istios(name):
            continue
        path: Path = ("metadata", "annotations", name)
        known = ANNOTATIONS.get(name)
        if known is None:
            yield warning(path, f'Istio has no annotation "{name}": is it spelt right?', code=UNKNOWN)
            continue
        # Who has both the old annotation and the new label keeps the old one for old versions.
        if known.deprecated and not (name == INJECT and INJECT in document.labels):
            instead = f'; use the label "{INJECT}" instead' if name == INJECT else ""
            yield Problem(DEPRECATED, Level.INFO, path, f'The annotation "{name}" is deprecated{instead}')
        if ANY in known.kinds:
            continue
        if document.kind not in known.kinds:
            kinds = ", ".join(known.kinds)
            where = " (metadata of its pod template, here)" if "Pod" in known.kinds and _templated(document) else ""
            yield warning(path, f'"{name}" has no effect here: it belongs on {kinds}{where}', code=MISPLACED)
            continue
        check = _CHECKS.get(name)
        wrong = check(value) if check is not None else ""
        if wrong:
            yield warning(path, f'"{name}": {wrong}', at_value=True, code=INVALID)


def _templated(document: Document) -> bool:
    return document.kind == "Deployment"


def _alpha(document: Document) -> Iterator[Problem]:
    for name in document.annotations:
        known = ANNOTATIONS.get(name)
        if known is None or not known.alpha or name in SET_BY_ISTIO:
            continue
        if name in SET_BY_CNI and document.kind == "Pod" and not _has_init_container(document):
            continue
        yield Problem(
            ALPHA,
            Level.INFO,
            ("metadata", "annotations", name),
            f'"{name}" is of a feature in its alpha phase: it may be incomplete, and change',
        )


def _has_init_container(document: Document) -> bool:
    containers = document.resource.get("spec", "initContainers") if document.resource is not None else ()
    return isinstance(containers, tuple) and any(each.get("name") == "istio-init" for each in containers)


def _mode(value: str) -> str:
    return "" if value in {"REDIRECT", "TPROXY", "NONE"} else f'"{value}" is not REDIRECT, TPROXY or NONE'


def _number(value: str) -> str:
    good = value.isascii() and value.isdigit() and int(value) < 2**32
    return "" if good else f'"{value}" is not a whole number'


def _truth(value: str) -> str:
    known = {"1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"}
    return "" if value in known else f'"{value}" is not true or false'


def _port(value: str) -> str:
    text = value.strip()
    good = text.isascii() and text.isdigit() and int(text) < 65536
    return "" if good else f'"{text}" is not a port'


def _ports(value: str) -> str:
    texts = value.strip().split(",") if value.strip() else []
    return next((wrong for text in texts if (wrong := _port(text))), "")


def _ports_or_all(value: str) -> str:
    return "" if value == "*" else _ports(value)


def _blocks(value: str) -> str:
    for text in value.split(",") if value else ():
        try:
            ipaddress.ip_network(text, strict=False)
        except ValueError:
            return f'"{text}" is not a block of addresses such as 10.0.0.0/8'
        if "/" not in text:
            return f'"{text}" has no prefix length: write {text}/32'
    return ""


def _blocks_or_all(value: str) -> str:
    return "" if value == "*" else _blocks(value)


_CHECKS: Final[dict[str, Callable[[str], str]]] = {
    "sidecar.istio.io/interceptionMode": _mode,
    "status.sidecar.istio.io/port": _port,
    "readiness.status.sidecar.istio.io/initialDelaySeconds": _number,
    "readiness.status.sidecar.istio.io/periodSeconds": _number,
    "readiness.status.sidecar.istio.io/failureThreshold": _number,
    "traffic.sidecar.istio.io/includeOutboundIPRanges": _blocks_or_all,
    "traffic.sidecar.istio.io/excludeOutboundIPRanges": _blocks,
    "traffic.sidecar.istio.io/includeInboundPorts": _ports_or_all,
    "traffic.sidecar.istio.io/excludeInboundPorts": _ports,
    "traffic.sidecar.istio.io/excludeOutboundPorts": _ports,
    "prometheus.istio.io/merge-metrics": _truth,
}
"""What is wrong with a value, "" when nothing is."""
