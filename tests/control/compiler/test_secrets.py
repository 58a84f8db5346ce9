"""Secrets are named, never told."""

from __future__ import annotations

from meshd.api.common import Map
from meshd.api.kubernetes import Secret
from meshd.control.compiler.secrets import credential, secret_refs, version
from meshd.snapshot.snapshot import SecretRef

ONE = Secret(data=Map({"tls.crt": "YQ==", "tls.key": "Yg=="}))
TWO = Secret(data=Map({"tls.crt": "YQ==", "tls.key": "Yw=="}))


def test_a_version_changes_with_the_content_alone() -> None:
    again = Secret(data=Map({"tls.key": "Yg==", "tls.crt": "YQ=="}))
    assert version(ONE) == version(again)
    assert version(ONE) != version(TWO)
    assert version(Secret(stringData=ONE.data)) != version(ONE)


def test_references() -> None:
    secrets = {("gw", "a"): ONE, ("other", "b"): TWO}
    names = {"kubernetes://a", "kubernetes://b", "default", "ROOTCA", "", "file-root:/ca"}
    assert secret_refs(names, "gw", secrets) == (
        SecretRef("file-root:/ca", ""),
        SecretRef("kubernetes://a", version(ONE)),
        SecretRef("kubernetes://b", ""),
    )


def test_credentials_keep_a_scheme_they_have() -> None:
    assert credential("a") == "kubernetes://a"
    assert credential("kubernetes://a") == "kubernetes://a"
