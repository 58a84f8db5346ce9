"""Which workloads there are, as far as documents say: pods, templates of pods, and entries. Pure.

A Deployment stands for the pods it will have: whoever analyses files has no
others. The ingress gateway is there though no document says so, because every
installation has one (Istio's ``AddDefaultResources``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Final

import attrs

from meshd.api.common import Labels, Map
from meshd.api.document import Document, Path
from meshd.api.foreign import Foreign, look_up
from meshd.api.networking.workload_entry import WorkloadEntry
from meshd.control.workloads import selects

GATEWAY_LABELS: Final = Map({"app": "istio-ingressgateway", "istio": "ingressgateway"})
GATEWAY_NAMESPACE: Final = "istio-system"
GATEWAY_ACCOUNT: Final = "istio-ingressgateway-service-account"
"""As whom the gateway of Istio's own installation runs."""

PROXY: Final = "istio-proxy"
"""The container that is the sidecar."""

TEMPLATES: Final[Mapping[str, Path]] = Map(
    {
        "Deployment": ("spec", "template"),
        "DaemonSet": ("spec", "template"),
        "StatefulSet": ("spec", "template"),
        "ReplicaSet": ("spec", "template"),
        "Job": ("spec", "template"),
        "CronJob": ("spec", "jobTemplate", "spec", "template"),
    }
)
"""Where kinds that make pods keep the pod."""


@attrs.frozen(eq=False)
class Known:
    """One workload.

    ``path`` leads to the pod's specification in the document. ``document`` is
    None for the ingress gateway that is taken for granted.
    """

    namespace: str
    name: str
    labels: Labels
    annotations: Labels = Map()
    document: Document | None = None
    path: Path = ()
    spec: Map[str, Any] = Map()

    @property
    def is_pod(self) -> bool:
        """A Pod itself, or as good as one."""
        return self.document is None or self.document.kind in {"Pod", "WorkloadEntry"}

    @cached_property
    def containers(self) -> tuple[Map[str, Any], ...]:
        """Its containers."""
        return _maps(self.spec.get("containers"))

    @cached_property
    def init_containers(self) -> tuple[Map[str, Any], ...]:
        """Its init containers; a native sidecar is one of them."""
        return _maps(self.spec.get("initContainers"))

    @property
    def has_proxy(self) -> bool:
        """Whether the sidecar was injected."""
        both = (*self.containers, *self.init_containers)
        return any(each.get("name") == PROXY and each.get("image") for each in both)


@attrs.frozen(eq=False)
class PodFacts:
    """The workloads that are known."""

    everything: tuple[Known, ...]

    @classmethod
    def of(cls, documents: Iterable[Document]) -> PodFacts:
        """Look through all documents once."""
        found = [known for document in documents if (known := known_of(document)) is not None]
        if not any(selects((("istio", "ingressgateway"),), each.labels) for each in found):
            spec = Map({"serviceAccountName": GATEWAY_ACCOUNT})
            found.append(Known(GATEWAY_NAMESPACE, "istio-ingressgateway", GATEWAY_LABELS, spec=spec))
        return cls(tuple(found))

    @cached_property
    def pods(self) -> tuple[Known, ...]:
        """The Pods, and nothing that only will make some."""
        return tuple(each for each in self.everything if each.document is not None and each.document.kind == "Pod")

    def select(self, selector: Mapping[str, str], namespace: str | None = None) -> tuple[Known, ...]:
        """Those that have all of these labels; an empty selector means all. ``namespace`` None is everywhere."""
        if not selector:
            return self.everything if namespace is None else self.by_namespace.get(namespace, ())
        candidates = min((self._by_label.get(pair, ()) for pair in selector.items()), key=len)
        return tuple(
            each
            for each in candidates
            if (namespace is None or each.namespace == namespace) and selects(selector.items(), each.labels)
        )

    @cached_property
    def by_namespace(self) -> dict[str, tuple[Known, ...]]:
        """All of them by namespace."""
        found: dict[str, list[Known]] = {}
        for each in self.everything:
            found.setdefault(each.namespace, []).append(each)
        return {namespace: tuple(all_of_it) for namespace, all_of_it in found.items()}

    @cached_property
    def _by_label(self) -> dict[tuple[str, str], list[Known]]:
        found: dict[tuple[str, str], list[Known]] = {}
        for each in self.everything:
            for pair in each.labels.items():
                found.setdefault(pair, []).append(each)
        return found


def known_of(document: Document) -> Known | None:
    """The workload that a document describes, or that its template will make; None when it describes none."""
    resource = document.resource
    if isinstance(resource, WorkloadEntry):
        labels = Map({**resource.labels, **document.labels})
        return Known(document.namespace, document.name, labels, document.annotations, document)
    if not isinstance(resource, Foreign):
        return None
    if document.kind == "Pod":
        spec = _map(resource.get("spec"))
        return Known(
            document.namespace, document.name, document.labels, document.annotations, document, ("spec",), spec
        )
    path = TEMPLATES.get(document.kind)
    template = resource.get(*path) if path is not None else None
    if path is None or not isinstance(template, Map):
        return None
    return Known(
        document.namespace,
        document.name,
        _texts(look_up(template, "metadata", "labels")),
        _texts(look_up(template, "metadata", "annotations")),
        document,
        (*path, "spec"),
        _map(template.get("spec")),
    )


def _map(value: Any) -> Map[str, Any]:
    return value if isinstance(value, Map) else Map()


def _maps(value: Any) -> tuple[Map[str, Any], ...]:
    return tuple(each for each in value if isinstance(each, Map)) if isinstance(value, tuple) else ()


def _texts(value: Any) -> Labels:
    return Map({str(key): str(each) for key, each in _map(value).items()})


def labels_text(selector: Mapping[str, str]) -> str:
    """``app=reviews,version=v1``."""
    return ",".join(f"{key}={value}" for key, value in sorted(selector.items()))
