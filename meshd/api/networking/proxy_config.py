"""``networking.istio.io`` ProxyConfig: how the proxies themselves run. Pure values.

Not to be confused with ``meshd.api.mesh.proxy.ProxyConfig``, the larger message
within MeshConfig. Source: Istio's ``networking/v1beta1/proxy_config.proto``.
"""

from __future__ import annotations

import attrs

from meshd.api.common import Labels, Map, Natural, WorkloadSelector


@attrs.frozen
class ProxyImage:
    """``imageType``: default, debug or distroless."""

    imageType: str = ""


@attrs.frozen
class ProxyConfig:
    """``concurrency`` absent is by the processors, 0 is all of them."""

    selector: WorkloadSelector | None = None
    concurrency: Natural | None = None
    environmentVariables: Labels = Map()
    image: ProxyImage | None = None
