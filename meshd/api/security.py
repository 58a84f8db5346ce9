"""``security.istio.io``: PeerAuthentication and AuthorizationPolicy. Pure values.

Sources: Istio's ``security/v1beta1/{peer_authentication,authorization_policy}.proto``.
"""

from __future__ import annotations

from enum import StrEnum

import attrs

from meshd.api.common import Map, PolicyTargetReference, WorkloadSelector


class MutualTLSMode(StrEnum):
    """``PeerAuthentication.MutualTLS.Mode``; UNSET inherits."""

    UNSET = "UNSET"
    DISABLE = "DISABLE"
    PERMISSIVE = "PERMISSIVE"
    STRICT = "STRICT"


@attrs.frozen
class MutualTLS:
    """What an inbound port takes."""

    mode: MutualTLSMode = MutualTLSMode.UNSET


@attrs.frozen
class PeerAuthentication:
    """The keys of ``portLevelMtls`` are workload ports in text; it needs a ``selector``."""

    selector: WorkloadSelector | None = None
    mtls: MutualTLS | None = None
    portLevelMtls: Map[str, MutualTLS] = Map()


class Action(StrEnum):
    """``AuthorizationPolicy.Action``."""

    ALLOW = "ALLOW"
    DENY = "DENY"
    AUDIT = "AUDIT"
    CUSTOM = "CUSTOM"


@attrs.frozen
class ExtensionProvider:
    """Who decides a CUSTOM policy."""

    name: str = ""


@attrs.frozen
class Source:
    """Every non-empty field must hold; a field holds when one of its values does."""

    principals: tuple[str, ...] = ()
    notPrincipals: tuple[str, ...] = ()
    requestPrincipals: tuple[str, ...] = ()
    notRequestPrincipals: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    notNamespaces: tuple[str, ...] = ()
    serviceAccounts: tuple[str, ...] = ()
    notServiceAccounts: tuple[str, ...] = ()
    ipBlocks: tuple[str, ...] = ()
    notIpBlocks: tuple[str, ...] = ()
    remoteIpBlocks: tuple[str, ...] = ()
    notRemoteIpBlocks: tuple[str, ...] = ()
    trustDomains: tuple[str, ...] = ()
    notTrustDomains: tuple[str, ...] = ()


@attrs.frozen
class From:
    """One alternative of ``from``."""

    source: Source | None = None


@attrs.frozen
class Operation:
    """As ``Source``, of what is asked for."""

    hosts: tuple[str, ...] = ()
    notHosts: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    notPorts: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    notMethods: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    notPaths: tuple[str, ...] = ()


@attrs.frozen
class To:
    """One alternative of ``to``."""

    operation: Operation | None = None


@attrs.frozen
class Condition:
    """An attribute and the values it may, or must not, have."""

    key: str
    values: tuple[str, ...] = ()
    notValues: tuple[str, ...] = ()


@attrs.frozen
class Rule:
    """One of ``from_``, one of ``to``, and all of ``when``; an empty rule matches everything."""

    from_: tuple[From, ...] = ()
    to: tuple[To, ...] = ()
    when: tuple[Condition, ...] = ()


@attrs.frozen
class AuthorizationPolicy:
    """Who may do what. No rules: matches nothing, so ALLOW without rules denies all."""

    selector: WorkloadSelector | None = None
    targetRef: PolicyTargetReference | None = None
    targetRefs: tuple[PolicyTargetReference, ...] = ()
    rules: tuple[Rule, ...] = ()
    action: Action = Action.ALLOW
    provider: ExtensionProvider | None = None
