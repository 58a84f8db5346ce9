"""The trust bundle as a value."""

from __future__ import annotations

import pytest

from meshd.certs.bundle import MAX_PEM, MAX_ROOTS, TrustBundle, check_pin_format, der, pinned_roots, split_pem
from meshd.certs.x509 import describe
from meshd.errors import IdentityError
from tests.certs.pki import make_ca

ONE, TWO = make_ca(name="one"), make_ca(name="two")


def test_white_space_and_comments_make_no_difference() -> None:
    messy = "# our root\r\n" + ONE.pem.replace("\n", "\r\n") + "\n\n"
    assert split_pem(messy) == split_pem(ONE.pem)
    assert describe(split_pem(messy)[0])[0].is_ca


def test_duplicates_go_and_order_is_kept() -> None:
    bundle = TrustBundle.of("d", TWO.pem, ONE.pem + TWO.pem)
    assert bundle.roots == (*split_pem(TWO.pem), *split_pem(ONE.pem))
    assert bundle.merge(TrustBundle.of("d", ONE.pem)) == bundle


def test_version_is_of_the_set() -> None:
    assert TrustBundle.of("d", ONE.pem, TWO.pem).version == TrustBundle.of("d", TWO.pem, ONE.pem).version
    assert TrustBundle.of("d", ONE.pem).version != TrustBundle.of("d", TWO.pem).version
    assert TrustBundle.of("d", ONE.pem).version != TrustBundle.of("e", ONE.pem).version


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "-----BEGIN CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\nQQ=Q\n-----END CERTIFICATE-----",
        "-----BEGIN PRIVATE KEY-----\nQQ==\n-----END PRIVATE KEY-----",
        ONE.pem + "-----BEGIN CERTIFICATE-----\nAAAA",
        "x" * (MAX_PEM + 1),
    ],
)
def test_what_is_no_pem(text: str) -> None:
    with pytest.raises(IdentityError):
        split_pem(text)


def test_too_many_roots() -> None:
    texts = [
        f"-----BEGIN CERTIFICATE-----\n{'QUFB' * (index + 1)}\n-----END CERTIFICATE-----"
        for index in range(MAX_ROOTS + 1)
    ]
    TrustBundle.of("d", *texts[:-1])
    with pytest.raises(IdentityError, match=f"{MAX_ROOTS + 1} roots; the limit is {MAX_ROOTS}"):
        TrustBundle.of("d", *texts)


def test_der_is_what_pem_holds() -> None:
    assert der(split_pem("-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----")[0]) == b"ABC"


def test_only_the_pinned_root_is_kept() -> None:
    bundle = TrustBundle.of("d", ONE.pem, TWO.pem)
    facts = describe(bundle.pem)
    assert pinned_roots(bundle, facts, facts[1].pin.upper().replace("SHA", "sha")).roots == bundle.roots[1:]
    with pytest.raises(IdentityError, match="not the one pinned by sha256:ffffffffffff"):
        pinned_roots(bundle, facts, "sha256:" + "f" * 64)


def test_a_pinned_leaf_is_no_root() -> None:
    leaf = ONE.issue("spiffe://d/ns/a/sa/b").chain_pem
    bundle = TrustBundle.of("d", leaf)
    facts = describe(bundle.pem)
    with pytest.raises(IdentityError, match="not the one pinned"):
        pinned_roots(bundle, facts, facts[0].pin)


@pytest.mark.parametrize("pin", ["", "sha256:", "sha256:xyz", "sha1:" + "0" * 40, "0" * 64, "sha256:" + "0" * 63])
def test_what_is_no_pin(pin: str) -> None:
    with pytest.raises(IdentityError, match="is no CA hash: expected sha256: and 64 hexadecimal digits"):
        check_pin_format(pin)
