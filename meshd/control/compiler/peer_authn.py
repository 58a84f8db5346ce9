"""PeerAuthentication: whether a workload's port takes plaintext, mTLS, or both. Pure.

Source: Istio's ``pilot/pkg/security/authn/policy_applier.go`` (``ComposePeerAuthentication``).
"""

from __future__ import annotations

from collections.abc import Iterable

from meshd.api.security import MutualTLSMode, PeerAuthentication
from meshd.control.mesh import ROOT_NAMESPACE, Owned
from meshd.control.workloads import selects

Policy = Owned[PeerAuthentication]


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
    """What a workload's port takes: never UNSET.

    Args:
        policies: What ``concerning`` gave for the namespace, older first.
        namespace: The workload's.
        labels: The workload's.
        port: The application's port.

    The oldest policy of each scope counts: the mesh's, the namespace's, the
    workload's (one with a matching selector); what it leaves UNSET it takes from
    the scope above, and PERMISSIVE is on top of all.
    """
    mode = MutualTLSMode.PERMISSIVE
    for chosen in (
        _first(each for each in policies if each.namespace != namespace),
        _first(each for each in policies if each.namespace == namespace and not _selector(each)),
    ):
        mode = _mode(chosen, mode)
    known = dict(labels)
    workload = _first(
        each for each in policies if each.namespace == namespace and _selector(each) and selects(_selector(each), known)
    )
    mode = _mode(workload, mode)
    if workload is not None:
        own = workload.resource.portLevelMtls.get(str(port))
        if own is not None and own.mode is not MutualTLSMode.UNSET:
            return own.mode
    return mode


def ports_set(policies: tuple[Policy, ...], namespace: str, labels: tuple[tuple[str, str], ...]) -> tuple[int, ...]:
    """The ports of a workload for which its own policy says something."""
    known = dict(labels)
    workload = _first(
        each for each in policies if each.namespace == namespace and _selector(each) and selects(_selector(each), known)
    )
    if workload is None:
        return ()
    return tuple(sorted(int(port) for port in workload.resource.portLevelMtls if port.isascii() and port.isdigit()))


def _first(policies: Iterable[Policy]) -> Policy | None:
    return next(iter(policies), None)


def _mode(policy: Policy | None, inherited: MutualTLSMode) -> MutualTLSMode:
    mtls = policy.resource.mtls if policy is not None else None
    return inherited if mtls is None or mtls.mode is MutualTLSMode.UNSET else mtls.mode
