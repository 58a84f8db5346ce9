"""Certificates of gateways: from Secret documents, and from files that a Gateway names."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

from meshd.certs.keystore import SecretMaterial
from meshd.control.compiler.secrets import CA_SUFFIX, FILE_CERTIFICATE, FILE_ROOT, KUBERNETES, version
from meshd.control.mesh import Mesh
from meshd.control.scope import Scope
from meshd.proxy.tls import Secret
from meshd.snapshot.protocol import SecretResponse

CERTIFICATE_KEYS = ("tls.crt", "cert")
PRIVATE_KEYS = ("tls.key", "key")
ROOT_KEYS = ("ca.crt", "cacert")
"""Istio reads a Secret by either set of names."""


def look_up(mesh: Mesh | None, scope: Scope, name: str) -> SecretResponse | None:
    """A secret that a snapshot names (``kubernetes://bookinfo-cert``), of the proxy's own namespace.

    Gateways alone may have one; a sidecar's own certificate never comes this way.
    """
    if mesh is None or scope.kind != "gateway" or not name.startswith(KUBERNETES):
        return None
    plain = name.removeprefix(KUBERNETES)
    found = mesh.secrets.get((scope.namespace, plain))
    if found is None and plain.endswith(CA_SUFFIX):
        # The roots may be in the Secret of the certificate (Istio: key ca.crt).
        found = mesh.secrets.get((scope.namespace, plain.removesuffix(CA_SUFFIX)))
    if found is None:
        return None
    values = {key: _decoded(value) for key, value in found.data.items()} | dict(found.stringData.items())
    return SecretResponse(
        name=name,
        version=version(found),
        certificate=_first(values, CERTIFICATE_KEYS),
        key=_first(values, PRIVATE_KEYS),
        ca=_first(values, ROOT_KEYS),
    )


def _first(values: Mapping[str, str], keys: tuple[str, ...]) -> str:
    return next((values[key] for key in keys if values.get(key)), "")


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        # The document's own findings say so; here it is a secret without content.
        return ""


@attrs.define(eq=False)
class MeshSecrets(Mapping[str, Secret]):
    """Secrets of a mesh that is compiled in this process; ``mesh`` is replaced when it changes."""

    scope: Scope
    mesh: Mesh | None = None

    def __getitem__(self, name: str) -> Secret:
        found = look_up(self.mesh, self.scope, name)
        if found is None:
            raise KeyError(name)
        return SecretMaterial(found.name, found.version, found.certificate, found.key, found.ca)

    def __iter__(self) -> Iterator[str]:
        known = self.mesh.secrets if self.mesh is not None else {}
        return (f"{KUBERNETES}{name}" for namespace, name in known if namespace == self.scope.namespace)

    def __len__(self) -> int:
        return sum(1 for _ in self)


@attrs.frozen(eq=False)
class WithFiles(Mapping[str, Secret]):
    """Other secrets, and those that name files of this machine; a file that changed is read again."""

    others: Mapping[str, Secret]
    _read: dict[str, tuple[tuple[int, ...], SecretMaterial]] = attrs.field(factory=dict, init=False)

    def __getitem__(self, name: str) -> Secret:
        if not name.startswith((FILE_CERTIFICATE, FILE_ROOT)):
            return self.others[name]
        paths = [Path(part) for part in name.partition(":")[2].split("~")]
        try:
            stamp = tuple(path.stat().st_mtime_ns for path in paths)
            known = self._read.get(name)
            if known is None or known[0] != stamp:
                texts = [path.read_text(encoding="ascii") for path in paths]
                material = (
                    SecretMaterial(name, "", *texts) if len(texts) > 1 else SecretMaterial(name, "", "", "", texts[0])
                )
                known = self._read[name] = (stamp, material)
        except (OSError, UnicodeDecodeError) as error:
            raise KeyError(name) from error
        return known[1]

    def __iter__(self) -> Iterator[str]:
        return iter((*self.others, *self._read))

    def __len__(self) -> int:
        return len(self.others) + len(self._read)
