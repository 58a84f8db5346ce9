"""One-line ways to ask one analysis about a text."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from meshd.control.analysis.facts import Facts
from meshd.control.finding import Finding
from meshd.modes.offline import load


def facts(source: str, *, complete: bool = True, now: datetime | None = None) -> Facts:
    """The facts of a text; what breaks a rule is judged too."""
    loaded = load(["-"], stdin=source)
    return Facts.of(loaded.documents, refused=loaded.refused, unusable=loaded.unusable, complete=complete, now=now)


def ask(analysis: Callable[[Facts], Iterable[Finding]], source: str, **others: object) -> list[Finding]:
    """What an analysis finds, in the order of the text."""
    return sorted(analysis(facts(source, **others)), key=lambda finding: (finding.origin, finding.message))


def said(analysis: Callable[[Facts], Iterable[Finding]], source: str, **others: object) -> list[str]:
    """``IST0101 Gateway default/x 7`` for each finding: code, object, line."""
    return [f"{each.code} {each.resource} {each.origin.line}" for each in ask(analysis, source, **others)]


def join(*documents: str) -> str:
    """Several documents as one text."""
    return "\n---\n".join(document.strip("\n") for document in documents) + "\n"


def pod(name: str, labels: str = "", *, namespace: str = "default", metadata: str = "", spec: str = "") -> str:
    """A Pod with an application, written in flow style."""
    containers = "" if "containers" in spec else "containers: [{name: app, image: app}]"
    inner = ", ".join(part for part in (containers, spec) if part)
    extra = f", {metadata}" if metadata else ""
    return (
        "apiVersion: v1\nkind: Pod\n"
        f"metadata: {{name: {name}, namespace: {namespace}, labels: {{{labels}}}{extra}}}\n"
        f"spec: {{{inner}}}\n"
    )


def deployment(name: str, labels: str, *, namespace: str = "default", pod_metadata: str = "", spec: str = "") -> str:
    """A Deployment with pods of these labels."""
    containers = spec or "containers: [{name: app, image: app}]"
    extra = f", {pod_metadata}" if pod_metadata else ""
    return (
        "apiVersion: apps/v1\nkind: Deployment\n"
        f"metadata: {{name: {name}, namespace: {namespace}}}\n"
        f"spec: {{template: {{metadata: {{labels: {{{labels}}}{extra}}}, spec: {{{containers}}}}}}}\n"
    )


def service(name: str, ports: str, *, selector: str = "", namespace: str = "default", metadata: str = "") -> str:
    """A Service."""
    extra = f", {metadata}" if metadata else ""
    chosen = f"selector: {{{selector}}}, " if selector else ""
    return (
        f"apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {namespace}{extra}}}\n"
        f"spec: {{{chosen}ports: [{ports}]}}\n"
    )


def namespace(name: str, labels: str = "", annotations: str = "") -> str:
    """A Namespace."""
    return (
        "apiVersion: v1\nkind: Namespace\n"
        f"metadata: {{name: {name}, labels: {{{labels}}}, annotations: {{{annotations}}}}}\n"
    )


def istio(kind: str, name: str, spec: str, *, namespace: str = "default", metadata: str = "") -> str:
    """A document of one of Istio's kinds."""
    groups = {
        "AuthorizationPolicy": "security.istio.io/v1",
        "RequestAuthentication": "security.istio.io/v1",
        "Telemetry": "telemetry.istio.io/v1",
        "WasmPlugin": "extensions.istio.io/v1alpha1",
        "EnvoyFilter": "networking.istio.io/v1alpha3",
    }
    extra = f", {metadata}" if metadata else ""
    return (
        f"apiVersion: {groups.get(kind, 'networking.istio.io/v1')}\nkind: {kind}\n"
        f"metadata: {{name: {name}, namespace: {namespace}{extra}}}\nspec: {spec}\n"
    )


def mesh(config: str, networks: str = "") -> str:
    """The mesh's settings, as the ConfigMap that holds them."""
    inner = "\n".join(f"    {line}" for line in config.splitlines())
    more = "\n".join(f"    {line}" for line in networks.splitlines())
    rest = f"  meshNetworks: |\n{more}\n" if networks else ""
    head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n"
    return f"{head}  mesh: |\n{inner}\n{rest}"
