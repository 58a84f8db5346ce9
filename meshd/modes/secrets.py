"""Certificates of gateways from Secret documents, for a mesh that is compiled in this process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from meshd.certs.keystore import SecretMaterial
from meshd.control.compiler.secrets import KUBERNETES
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
        found = find_secret(self.mesh.secrets, self.scope, name) if self.mesh is not None else None
        if found is None:
            raise KeyError(name)
        return SecretMaterial(found.name, found.version, found.certificate, found.key, found.ca)

    def __iter__(self) -> Iterator[str]:
        known = self.mesh.secrets if self.mesh is not None else {}
        return (f"{KUBERNETES}{name}" for namespace, name in known if namespace == self.scope.namespace)

    def __len__(self) -> int:
        return sum(1 for _ in self)
