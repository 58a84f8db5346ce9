"""What one analysis says about a text of YAML."""

from __future__ import annotations

import textwrap

from meshd.control.analysis.analysis import Run
from meshd.control.analysis.facts import Facts
from meshd.control.finding import Finding
from meshd.control.sources.source import read_entries
from tests.control.analysis.cases import LOADER, text


def facts(*sources: str) -> Facts:
    """Facts of documents as a user writes them, those that break a rule of their own among the refused."""
    source = "---\n".join(textwrap.dedent(each) for each in sources)
    entries = read_entries(LOADER, source, "f.yaml")
    unread = [entry.findings for entry in entries if entry.document is None and entry.refused is None]
    assert not unread, unread
    return Facts.of(
        [entry.document for entry in entries if entry.document is not None],
        refused=[entry.refused for entry in entries if entry.refused is not None],
    )


def findings(run: Run, *sources: str) -> list[Finding]:
    """Everything one analysis finds, in its own order."""
    return list(run(facts(*sources)))


def codes(run: Run, *sources: str) -> list[str]:
    """The codes alone."""
    return [finding.code for finding in findings(run, *sources)]


def lines(run: Run, *sources: str) -> list[str]:
    """``MD0010 7:5 message`` for each finding."""
    found = findings(run, *sources)
    return [f"{each.code} {each.origin.line}:{each.origin.column} {each.message}" for each in found]


def virtual_service(*routes: str, hosts: str = "a", kind: str = "http", more: str = "", metadata: str = "") -> str:
    """A VirtualService with these routes in flow style, one a line from line 7 (8 with ``more``)."""
    lines = [
        "apiVersion: networking.istio.io/v1",
        "kind: VirtualService",
        f"metadata: {{{metadata or 'name: x'}}}",
        "spec:",
        f"  hosts: [{hosts}]",
        *([f"  {more}"] if more else []),
        f"  {kind}:",
        *(f"  - {{{route}}}" for route in routes),
    ]
    return "\n".join(lines) + "\n"


def rule(spec: str, *, name: str = "x", namespace: str = "default") -> str:
    """A DestinationRule."""
    return text("DestinationRule", spec, name=name, metadata=f"namespace: {namespace}")


def service(name: str, ports: str, *, namespace: str = "default", selector: str = "", extra: str = "") -> str:
    """A Kubernetes Service."""
    chosen = f", selector: {{{selector}}}" if selector else ""
    return text(
        "Service", f"{{ports: [{ports}]{chosen}}}", name=name, api="v1", metadata=f"namespace: {namespace}{extra}"
    )


def workload(name: str, labels: str, *, namespace: str = "default") -> str:
    """A workload with labels."""
    spec = f"{{address: 10.0.0.1, labels: {{{labels}}}, serviceAccount: {name}}}"
    return text("WorkloadEntry", spec, name=name, metadata=f"namespace: {namespace}")


def policy(kind: str, spec: str, *, name: str = "p", namespace: str = "default") -> str:
    """A policy of ``security.istio.io``."""
    return text(kind, spec, name=name, api="security.istio.io/v1", metadata=f"namespace: {namespace}")
