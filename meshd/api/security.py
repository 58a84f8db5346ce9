"""``security.istio.io``: who is on the other side, and what they may do. Pure values.

Sources: Istio's ``security/v1beta1/{peer_authentication,request_authentication,authorization_policy}.proto``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

import attrs

from meshd.api.common import Duration, Map, PolicyTargetReference, WorkloadSelector


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


@attrs.frozen
class JWTHeader:
    """A header that carries a token after ``prefix``."""

    name: str
    prefix: str = ""


@attrs.frozen
class ClaimToHeader:
    """A claim of the token (``a.b`` for a nested one) that the application gets as a header."""

    header: str
    claim: str


@attrs.frozen
class JWTRule:
    """One issuer and where its tokens are; by default ``Authorization: Bearer`` and ``?access_token=``.

    Neither ``jwks`` nor ``jwksUri``: the keys are found by the issuer's OpenID
    discovery. ``audiences`` empty: any will do.
    """

    issuer: str = ""
    audiences: tuple[str, ...] = ()
    jwksUri: str = ""
    jwks: str = ""
    fromHeaders: tuple[JWTHeader, ...] = ()
    fromParams: tuple[str, ...] = ()
    outputPayloadToHeader: str = ""
    fromCookies: tuple[str, ...] = ()
    forwardOriginalToken: bool = False
    outputClaimToHeaders: tuple[ClaimToHeader, ...] = ()
    timeout: Duration | None = None
    spaceDelimitedClaims: tuple[str, ...] = ()

    OLD_NAMES: ClassVar[Map[str, str]] = Map({"jwks_uri": "jwksUri"})


@attrs.frozen
class RequestAuthentication:
    """A bad token is refused; a request without one is not."""

    selector: WorkloadSelector | None = None
    targetRef: PolicyTargetReference | None = None
    targetRefs: tuple[PolicyTargetReference, ...] = ()
    jwtRules: tuple[JWTRule, ...] = ()


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
