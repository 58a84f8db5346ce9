"""Certificates of gateways from files that a Gateway names (``serverCertificate``, ``privateKey``, ``caCertificates``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

from meshd.certs.keystore import SecretMaterial
from meshd.proxy.tls import Secret

CERTIFICATE = "file-cert:"
ROOT = "file-root:"
"""As the compiler names them; a proxy does not load the compiler to know two words."""


@attrs.frozen(eq=False)
class WithFiles(Mapping[str, Secret]):
    """Other secrets, and those that name files of this machine; a file that changed is read again."""

    others: Mapping[str, Secret]
    _read: dict[str, tuple[tuple[int, ...], SecretMaterial]] = attrs.field(factory=dict, init=False)

    def __getitem__(self, name: str) -> Secret:
        if not name.startswith((CERTIFICATE, ROOT)):
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
