"""All objects of the Gateway API as the VirtualServices and Gateways they stand for. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from meshd.api.document import Document
from meshd.api.mesh.config import MeshConfig
from meshd.api.networking.gateway import Gateway
from meshd.api.networking.virtual_service import VirtualService
from meshd.control.gateway_api.backends import Backends
from meshd.control.gateway_api.grants import Grants
from meshd.control.gateway_api.within_mesh import within_mesh
from meshd.control.owned import Owned


@attrs.frozen
class Translated:
    """What the Gateway API's objects come to."""

    virtual_services: tuple[Owned[VirtualService], ...] = ()
    gateways: tuple[Owned[Gateway], ...] = ()


def translate(
    kinds: Mapping[str, Sequence[Document]], entries: Sequence[Document], config: MeshConfig, domain: str
) -> Translated:
    """Every rule that follows from objects of the Gateway API.

    Args:
        kinds: Documents of the Gateway API by kind, older first.
        entries: The ServiceEntries, which routes can be attached to.
        config: The mesh's settings.
        domain: Of the mesh's own services.
    """
    if not kinds:
        return Translated()
    grants = Grants(kinds.get("ReferenceGrant", ()))
    hosts = {(each.namespace, each.name): each.resource.hosts for each in entries}
    inside = Backends(grants, domain, enforced=False)
    routes = kinds.get("HTTPRoute", ())
    return Translated(tuple(within_mesh(routes, hosts, inside, config.defaultVirtualServiceExportTo)))
