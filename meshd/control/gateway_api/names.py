"""Names by which what is made of the Gateway API and the compiler know each other. Pure."""

from __future__ import annotations

from typing import Final

GATEWAY_SERVICE: Final = "internal.istio.io/gateway-service"
"""Annotation of a Gateway: the services it is for, in place of a selector."""

GATEWAY_NAME: Final = "gateway.networking.k8s.io/gateway-name"
"""Label of a proxy that is for one Gateway of the Gateway API only, by its name."""

CREDENTIAL: Final = "kubernetes-gateway://"
"""Before ``namespace/name``: a Secret that a listener of the Gateway API refers to."""
