"""Whether a Secret holds a certificate that a gateway can use. Pure.

Source: Istio's ``pilot/pkg/credentials/kube`` and ``pilot/pkg/xds/sds.go``.
"""

from __future__ import annotations

import warnings
from datetime import datetime

from meshd.api.kubernetes import Secret
from meshd.control.secrets import value_of


def why_unusable(secret: Secret, now: datetime | None) -> str:
    """What is wrong with the certificate of a Secret, "" when nothing is.

    Args:
        secret: The Secret.
        now: The present; None where nobody knows it, and nothing expires.
    """
    certificate, key = value_of(secret, "tls.crt", "cert"), value_of(secret, "tls.key", "key")
    if not certificate:
        return "it has no certificate (tls.crt, or cert)"
    if not key:
        return "it has no private key (tls.key, or key)"
    # The library is large; whoever has no Secrets does not wait for it.
    from meshd.certs import x509
    from meshd.errors import IdentityError

    try:
        with warnings.catch_warnings():
            # It warns of certificates that newer releases of it will refuse.
            warnings.simplefilter("ignore")
            chain = x509.describe(certificate)
    except IdentityError:
        return "its certificate cannot be read"
    for each in chain if now is not None else ():
        assert now is not None
        if now.timestamp() > each.not_after:
            return "its certificate has expired"
        if now.timestamp() < each.not_before:
            return "its certificate is not valid yet"
    return ""
