"""``gateway.networking.k8s.io`` Gateway and GatewayClass: listeners at the edge. Pure values.

Source: ``apis/v1/{gateway,gatewayclass}_types.go`` of the Gateway API.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

import attrs

from meshd.api.common import Int32, Labels, Map
from meshd.api.gateway_api.references import (
    GROUP,
    LabelSelector,
    LocalObjectReference,
    ObjectReference,
    SecretObjectReference,
)


class TLSMode(StrEnum):
    """Whether TLS ends at the listener."""

    TERMINATE = "Terminate"
    PASSTHROUGH = "Passthrough"


class FromNamespaces(StrEnum):
    """Whose routes a listener takes."""

    ALL = "All"
    SELECTOR = "Selector"
    SAME = "Same"


class ListenersFrom(StrEnum):
    """Whose ListenerSets a Gateway takes."""

    ALL = "All"
    SELECTOR = "Selector"
    SAME = "Same"
    NONE = "None"


class FrontendValidationMode(StrEnum):
    """What becomes of clients without a certificate that is valid."""

    ALLOW_VALID_ONLY = "AllowValidOnly"
    ALLOW_INSECURE_FALLBACK = "AllowInsecureFallback"


@attrs.frozen
class ListenerTLSConfig:
    """How a listener speaks TLS."""

    mode: TLSMode = TLSMode.TERMINATE
    certificateRefs: tuple[SecretObjectReference, ...] = ()
    options: Labels = Map()

    PARTLY: ClassVar[Map[str, str]] = Map(
        {
            "certificateRefs": "the first certificate is shown to everybody",
            "options": "only gateway.istio.io/tls-terminate-mode is read",
        }
    )


@attrs.frozen
class RouteGroupKind:
    """A kind of route."""

    kind: str
    group: str = GROUP


@attrs.frozen
class RouteNamespaces:
    """Whose routes are taken."""

    from_: FromNamespaces = FromNamespaces.SAME
    selector: LabelSelector | None = None


@attrs.frozen
class AllowedRoutes:
    """Which routes are taken."""

    namespaces: RouteNamespaces = RouteNamespaces()
    kinds: tuple[RouteGroupKind, ...] = ()


@attrs.frozen
class Listener:
    """A port with a protocol, and the host it is for; without one for all."""

    name: str
    port: Int32
    protocol: str
    hostname: str | None = None
    tls: ListenerTLSConfig | None = None
    allowedRoutes: AllowedRoutes = AllowedRoutes()


@attrs.frozen
class GatewayAddress:
    """Where a Gateway wishes to be reached."""

    type: str = "IPAddress"
    value: str = ""


@attrs.frozen
class GatewayInfrastructure:
    """What the objects made for a Gateway have."""

    labels: Labels = Map()
    annotations: Labels = Map()
    parametersRef: LocalObjectReference | None = None


@attrs.frozen
class ListenerNamespaces:
    """Whose ListenerSets are taken."""

    from_: ListenersFrom = ListenersFrom.NONE
    selector: LabelSelector | None = None


@attrs.frozen
class AllowedListeners:
    """Which ListenerSets are taken."""

    namespaces: ListenerNamespaces = ListenerNamespaces()


@attrs.frozen
class FrontendTLSValidation:
    """Whose certificates clients must have."""

    caCertificateRefs: tuple[ObjectReference, ...]
    mode: FrontendValidationMode = FrontendValidationMode.ALLOW_VALID_ONLY


@attrs.frozen
class FrontendTLS:
    """How clients are checked."""

    validation: FrontendTLSValidation | None = None


@attrs.frozen
class TLSPortConfig:
    """How clients of one port are checked."""

    port: Int32
    tls: FrontendTLS


@attrs.frozen
class FrontendTLSConfig:
    """How clients are checked, on every port and on single ones."""

    default: FrontendTLS
    perPort: tuple[TLSPortConfig, ...] = ()


@attrs.frozen
class GatewayBackendTLS:
    """Which certificate the Gateway shows to backends."""

    clientCertificateRef: SecretObjectReference | None = None


@attrs.frozen
class GatewayTLSConfig:
    """TLS to both sides."""

    backend: GatewayBackendTLS | None = None
    frontend: FrontendTLSConfig | None = None

    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset({"backend"})
    # Without it everybody would be let in.
    REFUSED: ClassVar[frozenset[str]] = frozenset({"frontend"})


@attrs.frozen
class Gateway:
    """Listeners of the gateway that the Gateway's name, or an address of it, stands for."""

    gatewayClassName: str
    listeners: tuple[Listener, ...]
    addresses: tuple[GatewayAddress, ...] = ()
    infrastructure: GatewayInfrastructure | None = None
    allowedListeners: AllowedListeners | None = None
    tls: GatewayTLSConfig | None = None
    defaultScope: str | None = None

    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset({"allowedListeners", "defaultScope"})
    # meshd makes neither pods nor services for a Gateway.
    IRRELEVANT: ClassVar[frozenset[str]] = frozenset({"infrastructure"})


@attrs.frozen
class ParametersReference:
    """What a controller reads beside a GatewayClass."""

    group: str
    kind: str
    name: str
    namespace: str | None = None


@attrs.frozen
class GatewayClass:
    """Who looks after the Gateways of a class."""

    controllerName: str
    parametersRef: ParametersReference | None = None
    description: str | None = None

    IRRELEVANT: ClassVar[frozenset[str]] = frozenset({"parametersRef", "description"})
