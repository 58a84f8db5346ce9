"""Gateway certificates out of Secrets."""

from __future__ import annotations

import base64

from meshd.api.common import Map
from meshd.api.kubernetes import Secret
from meshd.control.compiler.secrets import version
from meshd.control.scope import Scope
from meshd.control.secrets import find_secret


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


TLS = Secret(
    type="kubernetes.io/tls", data=Map({"tls.crt": encoded("CERT"), "tls.key": encoded("KEY"), "ca.crt": encoded("CA")})
)
GENERIC = Secret(stringData=Map({"cert": "C", "key": "K", "cacert": "R"}))
BROKEN = Secret(data=Map({"tls.crt": "!!!", "tls.key": encoded("KEY")}))
SECRETS = {
    ("istio-system", "web"): TLS,
    ("istio-system", "generic"): GENERIC,
    ("istio-system", "broken"): BROKEN,
    ("bank", "vault"): TLS,
}
GATEWAY = Scope(kind="gateway", namespace="istio-system")


def test_both_forms() -> None:
    found = find_secret(SECRETS, GATEWAY, "kubernetes://web")
    assert found is not None
    assert (found.certificate, found.key, found.ca, found.version) == ("CERT", "KEY", "CA", version(TLS))
    generic = find_secret(SECRETS, GATEWAY, "kubernetes://generic")
    assert generic is not None
    assert (generic.certificate, generic.key, generic.ca) == ("C", "K", "R")


def test_only_of_ones_own_namespace() -> None:
    assert find_secret(SECRETS, GATEWAY, "kubernetes://vault") is None
    assert find_secret(SECRETS, GATEWAY, "kubernetes://bank/vault") is None
    assert find_secret(SECRETS, GATEWAY, "file-cert:/etc/shadow~/etc/shadow") is None
    assert find_secret(SECRETS, GATEWAY, "web") is None


def test_what_does_not_decode_is_empty() -> None:
    found = find_secret(SECRETS, GATEWAY, "kubernetes://broken")
    assert found is not None
    assert (found.certificate, found.key) == ("", "KEY")
