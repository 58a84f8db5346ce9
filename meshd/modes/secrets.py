"""Certificates of gateways from Secret documents, for a mesh that is compiled in this process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from meshd.certs.keystore import SecretMaterial
from meshd.control.compiler.secrets import KUBERNETES, place_of
from meshd.control.mesh import Mesh
from meshd.control.scope import Scope
from meshd.control.secrets import find_secret
from meshd.proxy.tls import Secret


@attrs.define(eq=False)
class MeshSecrets(Mapping[str, Secret]):
    """Secrets of a mesh that is compiled in this process; ``mesh`` is replaced when it changes."""

    scope: Scope
    mesh: Mesh | None = None

    def __getitem__(self, name: str) -> Secret:
        mesh = self.mesh
        found = None if mesh is None else find_secret(mesh.secrets, self.scope, name, mesh.gateway_secrets)
        if found is None:
            raise KeyError(name)
        return SecretMaterial(found.name, found.version, found.certificate, found.key, found.ca)

    def __iter__(self) -> Iterator[str]:
        mesh, own = self.mesh, self.scope.namespace
        if mesh is not None:
            yield from (f"{KUBERNETES}{name}" for namespace, name in mesh.secrets if namespace == own)
            named = sorted(name for namespace, name in mesh.gateway_secrets if namespace == own)
            yield from (name for name in named if place_of(name, own) in mesh.secrets)

    def __len__(self) -> int:
        return sum(1 for _ in self)
