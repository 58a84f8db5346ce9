"""What a policy is for and who sees it: selectors, references to targets, ``exportTo``. Pure.

Source of the rules: Istio's ``pkg/config/validation`` and the schemas of its kinds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from meshd.api.common import PolicyTargetReference, WorkloadSelector
from meshd.api.document import Path
from meshd.api.problem import Problem, error, warning
from meshd.api.security import AuthorizationPolicy, RequestAuthentication
from meshd.api.telemetry import Telemetry
from meshd.control.analysis import checks

LONGEST_LABEL_VALUE = 63
MOST_LABELS = 4096
MOST_TARGETS = 16

GATEWAY_API = "gateway.networking.k8s.io"
TARGETS = (
    (GATEWAY_API, "Gateway"),
    (GATEWAY_API, "GatewayClass"),
    ("", "Service"),
    ("core", "Service"),
    ("networking.istio.io", "ServiceEntry"),
)
"""Group and kind of what a policy can be attached to."""

TARGET_KINDS = tuple(dict.fromkeys(kind for _, kind in TARGETS))


Selecting: TypeAlias = AuthorizationPolicy | RequestAuthentication | Telemetry
"""A policy for workloads with some labels, or for the targets that it names."""


def selecting(policy: Selecting, path: Path) -> Iterator[Problem]:
    """Selector or targets, not both, and each as it should be."""
    given = [name for name in ("selector", "targetRef", "targetRefs") if getattr(policy, name)]
    if len(given) > 1:
        yield error(
            (*path, given[0]),
            f"only one of targetRefs or selector (the workload selector) can be set, not {' and '.join(given)}",
            at_value=False,
        )
    yield from workload_selector(policy.selector, (*path, "selector"))
    if policy.targetRef is not None:
        yield from target(policy.targetRef, (*path, "targetRef"))
    if len(policy.targetRefs) > MOST_TARGETS:
        yield error((*path, "targetRefs"), f"more than {MOST_TARGETS} targets", at_value=False)
    for index, reference in enumerate(policy.targetRefs):
        yield from target(reference, (*path, "targetRefs", index))


def target(reference: PolicyTargetReference, path: Path) -> Iterator[Problem]:
    """One ``targetRef``."""
    if not reference.name:
        yield error((*path, "name"), "the targetRef name must be set: the name of what the policy is attached to")
    if reference.namespace:
        yield error((*path, "namespace"), "the targetRef namespace must not be set: a policy is for its own namespace")
    if reference.kind not in TARGET_KINDS:
        yield error((*path, "kind"), f'"{reference.kind}" is not one of {", ".join(TARGET_KINDS)}')
    elif (reference.group, reference.kind) not in TARGETS:
        groups = [group for group, kind in TARGETS if kind == reference.kind and group != "core"]
        remedy = " or ".join(f'"{group}"' for group in groups)
        yield error((*path, "group"), f'{reference.kind} is not of the group "{reference.group}": write {remedy}')


def workload_selector(selector: WorkloadSelector | None, path: Path) -> Iterator[Problem]:
    """``selector: {matchLabels: ...}``."""
    if selector is not None:
        yield from matching(selector.matchLabels, (*path, "matchLabels"))
        if not selector.matchLabels:
            yield warning(path, "a selector without labels selects every workload: leave it out, or name labels")


def matching(values: Mapping[str, str], path: Path) -> Iterator[Problem]:
    """Labels to select by: no wildcards, no empty names."""
    if len(values) > MOST_LABELS:
        yield error(path, f"more than {MOST_LABELS} labels", at_value=False)
    for key, value in values.items():
        if not key:
            yield error((*path, key), "a label's name is empty", at_value=False)
        elif "*" in key or "*" in value:
            yield error((*path, key), "a selector takes no wildcards: leave the selector out to select everything")
        elif len(value) > LONGEST_LABEL_VALUE:
            yield error((*path, key), f"a label's value has {LONGEST_LABEL_VALUE} characters at most")


def export_to(values: Iterable[str], path: Path, own: str, *, none_allowed: bool = False) -> Iterator[Problem]:
    """``*``, ``.``, namespaces; ``~`` (nobody) only where it is allowed, and alone."""
    seen: set[str] = set()
    listed = list(values)
    for index, value in enumerate(listed):
        here = (*path, index)
        meant = own if value == "." else value
        if meant in seen:
            yield error(here, f'"{value}" is here twice')
        seen.add(meant)
        if value == "~":
            if not none_allowed:
                yield error(here, '"~" is not allowed here; "." keeps it to its own namespace')
            elif len(listed) > 1:
                yield error(here, '"~" must stand alone')
        elif value not in ("*", "."):
            yield from checks.namespace(value, here)
    if "*" in seen and len(listed) > 1:
        yield error(path, '"*" is everybody: nothing can stand beside it')


def private_export(values: Sequence[str], path: Path, own: str) -> Iterator[Problem]:
    """``exportTo`` of what is for workloads of its own namespace."""
    beyond = [value for value in values if value not in (".", own)]
    if beyond:
        yield error(path, f'with a workloadSelector it is for its own namespace: write "." and not "{beyond[0]}"')
