"""Secrets as a snapshot names them, with an opaque version and never their content. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Final

from meshd.api.kubernetes import Secret
from meshd.control.gateway_api.names import CREDENTIAL
from meshd.snapshot.listener import DownstreamTls, Listener
from meshd.snapshot.snapshot import SecretRef

KUBERNETES: Final = "kubernetes://"
FILE_CERTIFICATE: Final = "file-cert:"
FILE_ROOT: Final = "file-root:"
CA_SUFFIX: Final = "-cacert"
VERSION_LENGTH: Final = 16


def credential(name: str) -> str:
    """A ``credentialName``: a Secret of the proxy's own namespace."""
    return name if "://" in name else f"{KUBERNETES}{name}"


def files(certificate: str, key: str) -> str:
    """A certificate and key in files of the proxy's machine."""
    return f"{FILE_CERTIFICATE}{certificate}~{key}"


def root_file(path: str) -> str:
    """Roots in a file of the proxy's machine."""
    return f"{FILE_ROOT}{path}"


def secret_refs(
    names: Iterable[str], namespace: str, secrets: Mapping[tuple[str, str], Secret]
) -> tuple[SecretRef, ...]:
    """References to secrets by name: Secrets, and files of the proxy's machine.

    A file, and a Secret that is not there, has the version "".
    """
    found = []
    for name in sorted(set(names)):
        key = place_of(name, namespace)
        secret = None if key is None else secrets.get(key)
        if name.startswith((KUBERNETES, CREDENTIAL, FILE_CERTIFICATE, FILE_ROOT)):
            found.append(SecretRef(name, "" if secret is None else version(secret)))
    return tuple(found)


def place_of(name: str, namespace: str) -> tuple[str, str] | None:
    """Namespace and name of a Secret as a snapshot names it; None for what is none.

    Args:
        name: ``kubernetes://NAME`` or ``kubernetes-gateway://NAMESPACE/NAME``.
        namespace: The proxy's, where Secrets without a namespace are.
    """
    if name.startswith(KUBERNETES):
        return namespace, name.removeprefix(KUBERNETES)
    if name.startswith(CREDENTIAL):
        owner, _, plain = name.removeprefix(CREDENTIAL).partition("/")
        return owner, plain
    return None


def version(secret: Secret) -> str:
    """Changes when the content does, and says nothing about it."""
    content = json.dumps([sorted(secret.data.items()), sorted(secret.stringData.items())])
    return hashlib.sha256(b"meshd secret version\0" + content.encode()).hexdigest()[:VERSION_LENGTH]


def named_by(listeners: Iterable[Listener]) -> set[str]:
    """The secrets that listeners name."""
    settings: list[DownstreamTls] = [
        chain.tls for listener in listeners for chain in listener.every_chain if chain.tls is not None
    ]
    return {name for tls in settings for name in (tls.certificate, tls.validation)}
