"""WorkloadEntry and WorkloadGroup alone. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from meshd.api.common import LabelsSelector
from meshd.api.document import Document, Path
from meshd.api.networking.workload_entry import WorkloadEntry
from meshd.api.networking.workload_group import ReadinessProbe, WorkloadGroup
from meshd.api.problem import Problem, error, warning
from meshd.control.analysis import checks, selection

UNIX = "unix://"

_LONGEST = {"address": 256, "network": 2048, "locality": 2048, "serviceAccount": 253}
"""Characters: the limits of Istio's schema."""
_MOST = {"ports": 128, "labels": 256}
_WAYS = ("httpGet", "tcpSocket", "exec", "grpc")
_HEADER = re.compile(r"[-_A-Za-z0-9]+")


def validate_workload(document: Document) -> Iterator[Problem]:
    """Istio's rules for a WorkloadEntry."""
    yield from workload(document.resource, ("spec",))


def validate_workload_group(document: Document) -> Iterator[Problem]:
    """Istio's rules for a WorkloadGroup."""
    group: WorkloadGroup = document.resource
    path: Path = ("spec",)
    if group.metadata is not None:
        yield from checks.labels(group.metadata.labels, (*path, "metadata", "labels"))
        for name in ("labels", "annotations"):
            if len(getattr(group.metadata, name)) > _MOST["labels"]:
                yield error((*path, "metadata", name), f"more than {_MOST['labels']} {name}", at_value=False)
    here = (*path, "template")
    if group.template.address.startswith(UNIX):
        yield from _address(group.template, (*here, "address"), names_allowed=True)
    yield from _rest(group.template, here)
    if group.template.labels:
        yield warning((*here, "labels"), "labels of the group belong under metadata.labels, which overrides these")
    if group.probe is not None:
        yield from _probe(group.probe, (*path, "probe"))


def workload(entry: WorkloadEntry, path: Path, *, names_allowed: bool = True) -> Iterator[Problem]:
    """An endpoint, on its own or in a ServiceEntry."""
    if entry.address:
        yield from _address(entry, (*path, "address"), names_allowed=names_allowed)
    elif entry.network:
        yield warning(
            path, f'without an address it is reached through the gateway of the network "{entry.network}" only'
        )
    else:
        yield error(path, "an address is required: an IP address, a host name or unix://", at_value=False)
    yield from _rest(entry, path)


def _address(entry: WorkloadEntry, path: Path, *, names_allowed: bool) -> Iterator[Problem]:
    if entry.address.startswith(UNIX):
        yield from checks.socket_path(entry.address, path)
        if entry.ports:
            yield error((*path[:-1], "ports"), "a Unix socket has no ports", at_value=False)
    elif checks.is_address(entry.address):
        return
    elif names_allowed:
        yield from checks.fqdn(entry.address, path)
    else:
        yield error(path, f'"{entry.address}" is not an IP address; a name needs resolution DNS')


def _rest(entry: WorkloadEntry, path: Path) -> Iterator[Problem]:
    """Everything but where the address points."""
    for name, number in entry.ports.items():
        here = (*path, "ports", name)
        yield from checks.port(number, here)
        if not checks.LABEL.fullmatch(name):
            yield error(here, f'"{name}" is not a port\'s name', at_value=False)
    yield from checks.labels(entry.labels, (*path, "labels"))
    for name, most in _LONGEST.items():
        if len(getattr(entry, name)) > most:
            yield error((*path, name), f"{name} is longer than {most}")
    for name, most in _MOST.items():
        if len(getattr(entry, name)) > most:
            yield error((*path, name), f"more than {most} {name}", at_value=False)


def labels_selector(selector: LabelsSelector | None, path: Path) -> Iterator[Problem]:
    """``workloadSelector: {labels: ...}``."""
    if selector is None:
        return
    if len(selector.labels) > _MOST["labels"]:
        yield error((*path, "labels"), f"more than {_MOST['labels']} labels", at_value=False)
    yield from selection.matching(selector.labels, (*path, "labels"))
    if not selector.labels:
        yield warning(path, "a workloadSelector without labels selects every workload of the namespace: name labels")


def _probe(probe: ReadinessProbe, path: Path) -> Iterator[Problem]:
    ways = [name for name in _WAYS if getattr(probe, name) is not None]
    if not ways:
        yield error(path, f"how to probe is missing: {', '.join(_WAYS)}", at_value=False)
    elif len(ways) > 1:
        yield error(path, f"{' and '.join(ways)} cannot both be given: choose one", at_value=False)
    if probe.httpGet is not None:
        here = (*path, "httpGet")
        yield from checks.port(probe.httpGet.port, (*here, "port"))
        if probe.httpGet.scheme not in ("", "HTTP", "HTTPS"):
            yield error((*here, "scheme"), f'"{probe.httpGet.scheme}" is not a scheme: HTTP or HTTPS')
        for index, header in enumerate(probe.httpGet.httpHeaders):
            if not _HEADER.fullmatch(header.name):
                yield error((*here, "httpHeaders", index, "name"), f'"{header.name}" is not a valid header name')
    if probe.tcpSocket is not None:
        yield from checks.port(probe.tcpSocket.port, (*path, "tcpSocket", "port"))
    if probe.grpc is not None:
        yield from checks.port(probe.grpc.port, (*path, "grpc", "port"))
    if probe.exec is not None and not (probe.exec.command and all(probe.exec.command)):
        yield error((*path, "exec", "command"), "the command is empty", at_value=False)
