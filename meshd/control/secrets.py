"""Gateway certificates out of Secrets, for the gateways whose configuration names them. Pure.

Source: Istio's ``pilot/pkg/credentials/kube``: ``tls.crt``, ``tls.key`` and
``ca.crt``, or ``cert``, ``key`` and ``cacert``.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Mapping

from meshd.api.kubernetes import Secret
from meshd.control.compiler.secrets import CA_SUFFIX, KUBERNETES, place_of, version
from meshd.control.scope import Scope
from meshd.snapshot.protocol import SecretResponse


def find_secret(
    secrets: Mapping[tuple[str, str], Secret],
    scope: Scope,
    name: str,
    elsewhere: Collection[tuple[str, str]] = (),
) -> SecretResponse | None:
    """A secret as a snapshot names it, that the proxy may have; None when there is none.

    Args:
        secrets: By namespace and name (``Mesh.secrets``).
        scope: Who asks.
        name: ``kubernetes://NAME`` of the proxy's own namespace, or
            ``kubernetes-gateway://NAMESPACE/NAME``. Files of the proxy's machine are none of ours.
        elsewhere: What proxies of which namespaces may have beside (``Mesh.gateway_secrets``).
    """
    key = place_of(name, scope.namespace)
    if key is None:
        return None
    if not name.startswith(KUBERNETES) and (scope.namespace, name.removesuffix(CA_SUFFIX)) not in elsewhere:
        return None
    namespace, plain = key
    secret = secrets.get(key)
    if secret is None and plain.endswith(CA_SUFFIX):
        # The roots may stand in the Secret of the certificate itself.
        secret = secrets.get((namespace, plain.removesuffix(CA_SUFFIX)))
    if secret is None:
        return None
    return SecretResponse(
        name=name,
        version=version(secret),
        certificate=value_of(secret, "tls.crt", "cert"),
        key=value_of(secret, "tls.key", "key"),
        ca=value_of(secret, "ca.crt", "cacert"),
    )


def value_of(secret: Secret, *names: str) -> str:
    """The text under the first of these names that has one; "" when none has, or none can be decoded."""
    for name in names:
        if text := secret.stringData.get(name, ""):
            return text
        if data := secret.data.get(name, ""):
            try:
                return base64.b64decode(data, validate=True).decode("utf-8")
            except (binascii.Error, UnicodeDecodeError):
                return ""
    return ""
