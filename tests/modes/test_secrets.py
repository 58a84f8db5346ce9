"""Gateway certificates: out of Secrets of the gateway's namespace, and out of files."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from meshd.api.common import Map
from meshd.api.document import Document
from meshd.api.kubernetes import Secret
from meshd.certs.keystore import SecretMaterial
from meshd.control.compiler import secrets as compiler
from meshd.control.mesh import Mesh
from meshd.control.scope import Scope
from meshd.modes import file_secrets
from meshd.modes.file_secrets import WithFiles
from meshd.modes.secrets import MeshSecrets

SCOPE = Scope(kind="gateway", namespace="edge")


def encoded(**values: str) -> Map[str, str]:
    return Map({key.replace("_", "."): base64.b64encode(value.encode()).decode() for key, value in values.items()})


def mesh(secret: Secret, namespace: str = "edge") -> Mesh:
    return Mesh.of([Document.of(secret, "web", namespace=namespace)])


def test_a_secret_of_its_namespace() -> None:
    found = MeshSecrets(SCOPE, mesh(Secret(data=encoded(tls_crt="C", tls_key="K", ca_crt="R"))))
    secret = found["kubernetes://web"]
    assert (secret.certificate_pem, secret.key_pem, secret.ca_pem) == ("C", "K", "R")
    assert list(found) == ["kubernetes://web"]
    assert len(found) == 1


def test_the_roots_of_a_certificates_own_secret() -> None:
    found = MeshSecrets(SCOPE, mesh(Secret(data=encoded(tls_crt="C", tls_key="K", ca_crt="R"))))
    assert found["kubernetes://web-cacert"].ca_pem == "R"


def test_a_secret_of_another_namespace_is_none() -> None:
    found = MeshSecrets(SCOPE, mesh(Secret(data=encoded(tls_crt="C")), namespace="default"))
    assert "kubernetes://web" not in found


def test_before_there_is_a_mesh() -> None:
    assert list(MeshSecrets(SCOPE)) == []
    assert "kubernetes://web" not in MeshSecrets(SCOPE)


def test_the_compiler_and_the_proxy_speak_of_the_same() -> None:
    assert (file_secrets.CERTIFICATE, file_secrets.ROOT) == (compiler.FILE_CERTIFICATE, compiler.FILE_ROOT)


def test_files_are_read_again_when_they_change(tmp_path: Path) -> None:
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    certificate.write_text("one")
    key.write_text("key")
    secrets = WithFiles({})
    name = compiler.files(str(certificate), str(key))
    assert (secrets[name].certificate_pem, secrets[name].key_pem) == ("one", "key")
    assert secrets[name] is secrets[name]
    certificate.write_text("two")
    os.utime(certificate, ns=(1, 1))
    assert secrets[name].certificate_pem == "two"


def test_roots_in_a_file(tmp_path: Path) -> None:
    roots = tmp_path / "r.pem"
    roots.write_text("R")
    secret = WithFiles({})[compiler.root_file(str(roots))]
    assert (secret.certificate_pem, secret.ca_pem) == ("", "R")


def test_files_that_are_not_there(tmp_path: Path) -> None:
    secrets = WithFiles({"other": SecretMaterial("other", "1")})
    with pytest.raises(KeyError):
        secrets[compiler.files(str(tmp_path / "none"), "/dev/null")]
    assert "other" in secrets
    assert secrets["other"].key_pem == ""
