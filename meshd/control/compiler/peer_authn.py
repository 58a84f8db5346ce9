"""PeerAuthentication: whether a workload's port takes plaintext, mTLS, or both, and who says so. Pure.

Source: Istio's ``pilot/pkg/security/authn/policy_applier.go`` (``ComposePeerAuthentication``).
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from meshd.api.security import MutualTLSMode, PeerAuthentication
from meshd.control.mesh import ROOT_NAMESPACE
from meshd.control.owned import Owned
from meshd.control.workloads import selects

Policy = Owned[PeerAuthentication]


@attrs.frozen
class Decided:
    """What a port takes. ``policy`` None: nobody says anything, so Istio's default holds.

    ``path`` is the field that decides, ``spec.mtls.mode`` or ``spec.portLevelMtls["9090"].mode``.
    """

    mode: MutualTLSMode = MutualTLSMode.PERMISSIVE
    policy: Policy | None = None
    path: str = ""


def concerning(policies: Iterable[Policy], namespace: str, root_namespace: str = ROOT_NAMESPACE) -> tuple[Policy, ...]:
    """The policies that can hold for a workload of ``namespace``: the root's for all, and its own.

    Those of the root namespace that have a selector hold for nobody (Istio).
    Root policies come first, so that ``mode_at`` need not know which namespace is the root.
    """
    listed = tuple(policies)
    root = tuple(each for each in listed if each.namespace == root_namespace and not _selector(each))
    own = tuple(each for each in listed if each.namespace == namespace != root_namespace)
    return root + own


def _selector(policy: Policy) -> tuple[tuple[str, str], ...]:
    selector = policy.resource.selector
    return tuple(selector.matchLabels.items()) if selector is not None else ()


def mode_at(
    policies: tuple[Policy, ...], namespace: str, labels: tuple[tuple[str, str], ...], port: int
) -> MutualTLSMode:
    """What a workload's port takes: never UNSET. As ``decided_at``."""
    return decided_at(policies, namespace, labels, port).mode


def decided_at(policies: tuple[Policy, ...], namespace: str, labels: tuple[tuple[str, str], ...], port: int) -> Decided:
    """What a workload's port takes, and which policy says so.

    Args:
        policies: What ``concerning`` gave for the namespace, older first.
        namespace: The workload's.
        labels: The workload's.
        port: The application's port.

    The oldest policy of each scope counts: the mesh's, the namespace's, the
    workload's (one with a matching selector); what it leaves UNSET it takes from
    the scope above, and PERMISSIVE is on top of all.
    """
    decided = Decided()
    for chosen in (
        _first(each for each in policies if each.namespace != namespace),
        _first(each for each in policies if each.namespace == namespace and not _selector(each)),
    ):
        decided = _after(decided, chosen)
    workload = _of_workload(policies, namespace, labels)
    decided = _after(decided, workload)
    if workload is not None:
        own = workload.resource.portLevelMtls.get(str(port))
        if own is not None and own.mode is not MutualTLSMode.UNSET:
            return Decided(own.mode, workload, f'spec.portLevelMtls["{port}"].mode')
    return decided


def ports_set(policies: tuple[Policy, ...], namespace: str, labels: tuple[tuple[str, str], ...]) -> tuple[int, ...]:
    """The ports of a workload for which its own policy says something."""
    workload = _of_workload(policies, namespace, labels)
    if workload is None:
        return ()
    return tuple(sorted(int(port) for port in workload.resource.portLevelMtls if port.isascii() and port.isdigit()))


def _of_workload(policies: tuple[Policy, ...], namespace: str, labels: tuple[tuple[str, str], ...]) -> Policy | None:
    known = dict(labels)
    return _first(
        each for each in policies if each.namespace == namespace and _selector(each) and selects(_selector(each), known)
    )


def _first(policies: Iterable[Policy]) -> Policy | None:
    return next(iter(policies), None)


def _after(inherited: Decided, policy: Policy | None) -> Decided:
    mtls = policy.resource.mtls if policy is not None else None
    if mtls is None or mtls.mode is MutualTLSMode.UNSET:
        return inherited
    return Decided(mtls.mode, policy, "spec.mtls.mode")
