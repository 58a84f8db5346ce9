"""Which namespaces and pods get a sidecar, and whether it is the right one. Pure.

Source: Istio's ``analyzers/injection``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from meshd.api.document import Document
from meshd.api.foreign import look_up
from meshd.api.kinds import ADMISSION
from meshd.api.kubernetes import ConfigMap
from meshd.api.networking.proxy_config import ProxyConfig
from meshd.api.problem import Level, Problem, error, warning
from meshd.api.yaml import parse
from meshd.control.analysis.facts import Facts, told
from meshd.control.analysis.istio.annotation_table import INJECT
from meshd.control.analysis.istio.injected import AMBIENT, DATAPLANE_MODE, IGNORED_NAMESPACES, INJECTION, REVISION
from meshd.control.analysis.istio.label_selector import matches
from meshd.control.analysis.istio.webhooks import hooks
from meshd.control.analysis.pod_facts import PROXY, Known
from meshd.control.finding import Finding
from meshd.control.workloads import selects

NOT_INJECTED = "IST0102"
MISSING_PROXY = "IST0103"
SEVERAL_LABELS = "IST0123"
AUTO_WITHOUT_INJECTION = "IST0146"
AUTO_IN_POD = "IST0147"
INJECTED_BY_DEFAULT = "IST0148"
IMAGE_MISMATCH = "IST0158"

INJECTOR: Final = "istio-sidecar-injector"
"""Name of the ConfigMap that says how to inject; a revision's has ``-REVISION`` behind it."""


def injection(facts: Facts) -> Iterable[Finding]:
    """Labels of namespaces that contradict each other or are missing, and pods without their sidecar."""
    by_default = {
        name: look_up_json(values, "sidecarInjectorWebhook", "enableNamespacesByDefault") is True
        for name, values in _injectors(facts)
    }
    injected: set[str] = set()
    for document in facts.kind("Namespace"):
        if document.name != facts.mesh.root_namespace and document.name not in IGNORED_NAMESPACES:
            yield from told(document, _namespace(document, by_default))
            if document.labels.get(INJECTION) == "enabled" and document.labels.get(DATAPLANE_MODE) != AMBIENT:
                injected.add(document.name)
    for known in facts.pods.pods:
        if known.namespace in injected and _lacks_proxy(known):
            assert known.document is not None
            message = "The pod has no sidecar though its namespace asks for one: start it anew"
            yield from told(known.document, (warning(("metadata", "name"), message, code=MISSING_PROXY),))


def _namespace(document: Document, by_default: dict[str, bool]) -> Iterator[Problem]:
    labels = document.labels
    said = labels.get(INJECTION)
    present = [INJECTION] if said is not None else []
    if said is None or said == "enabled":
        present += [name for name in (REVISION, DATAPLANE_MODE) if name in labels]
    if len(present) > 1:
        listed = ", ".join(f"{name}={labels[name]}" for name in present)
        yield warning(
            ("metadata", "labels"), f"has several labels for injection ({listed}): keep one", code=SEVERAL_LABELS
        )
    if labels.get(DATAPLANE_MODE) == AMBIENT or said or REVISION in labels:
        return
    if by_default.get(_injector_name(labels.get(REVISION, ""))):
        message = "is injected because Istio is installed with enableNamespacesByDefault"
        yield Problem(INJECTED_BY_DEFAULT, Level.INFO, ("metadata", "name"), message)
        return
    message = f"is not enabled for injection: label it {INJECTION}=enabled, or disabled to say that this is meant"
    yield Problem(NOT_INJECTED, Level.INFO, ("metadata", "name"), message)


def _lacks_proxy(known: Known) -> bool:
    said = known.labels.get(INJECT, known.annotations.get(INJECT, ""))
    return said.lower() != "false" and not known.spec.get("hostNetwork") and not known.has_proxy


def _injectors(facts: Facts) -> Iterator[tuple[str, Any]]:
    """The name and values of every ConfigMap that says how to inject."""
    for document in facts.all(ConfigMap):
        if document.name.startswith(INJECTOR):
            try:
                yield document.name, json.loads(document.resource.data.get("values", ""))
            except ValueError:
                yield document.name, None


def look_up_json(value: Any, *path: str) -> Any:
    """What stands at a path of JSON; None where nothing does."""
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _injector_name(revision: str) -> str:
    return INJECTOR if revision in {"", "default"} else f"{INJECTOR}-{revision}"


def images(facts: Facts) -> Iterable[Finding]:
    """Namespaces in which pods run another proxy than is injected now."""
    wanted = {name: _image(values) for name, values in _injectors(facts)}
    if not wanted:
        return
    outdated: dict[str, list[str]] = {}
    for known in facts.pods.pods:
        namespace = facts.namespaces.get(known.namespace)
        if namespace is None or known.annotations.get("sidecar.istio.io/proxyImage"):
            continue
        revision = namespace.labels.get(REVISION)
        if revision is None and namespace.labels.get(INJECTION) != "enabled":
            continue
        image = wanted.get(_injector_name(revision or ""))
        if image is None:
            continue
        good = {image, f"{image}-{_image_type(facts, known)}"}
        running = [
            each.get("image") for each in (*known.containers, *known.init_containers) if each.get("name") == PROXY
        ]
        if any(each not in good for each in running):
            outdated.setdefault(known.namespace, []).append(known.name)
    for name, pods in sorted(outdated.items()):
        message = f"pods run another proxy image than is injected now: {', '.join(sorted(pods))}; start them anew"
        yield from told(facts.namespaces[name], (warning(("metadata", "name"), message, code=IMAGE_MISMATCH),))


def _image(values: Any) -> str:
    image = str(look_up_json(values, "global", "proxy", "image") or "")
    if "/" in image:
        return image
    hub, tag = look_up_json(values, "global", "hub") or "", look_up_json(values, "global", "tag") or ""
    return f"{hub}/{image}:{tag}"


def _image_type(facts: Facts, known: Known) -> str:
    """``distroless`` and the like: the annotation's word, else of the ProxyConfig nearest to the pod, else the mesh's."""
    parsed = parse(known.annotations.get("proxy.istio.io/config", ""))
    for tree in parsed.trees:
        said = look_up_json(tree.value, "image", "imageType")
        if said:
            return str(said)
    found = facts.mesh.config.defaultConfig.image
    nearest = found.imageType if found is not None else ""
    near = -1
    for document in facts.all(ProxyConfig):
        config: ProxyConfig = document.resource
        if config.image is None or document.namespace not in {known.namespace, facts.mesh.root_namespace}:
            continue
        selector = config.selector.matchLabels if config.selector is not None else {}
        if not selects(selector.items(), known.labels):
            continue
        rank = 2 if selector else int(document.namespace == known.namespace)
        if rank > near:
            near, nearest = rank, config.image.imageType
    return nearest


def automatic_images(facts: Facts) -> Iterable[Finding]:
    """``image: auto``, which injection replaces, where nobody injects."""
    injectors = [
        hook
        for document in facts.kind("MutatingWebhookConfiguration", ADMISSION)
        for _, hook in hooks(document)
        if str(look_up(hook, "name") or "").endswith("istio.io")
    ]
    for known in facts.pods.everything:
        document = known.document
        index = next((at for at, each in enumerate(known.containers) if _is_automatic(each)), None)
        if document is None or index is None:
            continue
        path = (*known.path, "containers", index, "image")
        if document.kind == "Pod":
            message = '"auto" was never replaced by injection: the pod cannot run; create it anew once injection works'
            yield from told(document, (error(path, message, code=AUTO_IN_POD),))
        elif document.kind == "Deployment":
            namespace = facts.namespaces.get(known.namespace)
            labels = namespace.labels if namespace is not None else {}
            if not any(
                matches(look_up(hook, "namespaceSelector"), labels)
                and matches(look_up(hook, "objectSelector"), known.labels)
                for hook in injectors
            ):
                message = '"auto" is replaced by injection, and no webhook of Istio selects these pods'
                problem = warning(path, message, at_value=True, code=AUTO_WITHOUT_INJECTION)
                yield from told(document, (problem,))


def _is_automatic(container: Mapping[str, Any]) -> bool:
    return (container.get("name"), container.get("image")) == (PROXY, "auto")
