from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshd.certs.spiffe import MAX_ID, SpiffeId, peer_spiffe_id
from meshd.errors import IdentityError
from tests.certs.pki import REVIEWS


def test_an_id_has_its_parts():
    identity = SpiffeId.parse(REVIEWS)
    assert identity == SpiffeId("cluster.local", "/ns/default/sa/reviews")
    assert (identity.namespace, identity.service_account) == ("default", "reviews")
    assert str(identity) == REVIEWS
    assert SpiffeId.of_service_account("cluster.local", "default", "reviews") == identity


@pytest.mark.parametrize(
    "text", ["spiffe://td/x", "spiffe://td/ns/a/sa", "spiffe://td/ns/a/xx/b", "spiffe://td/ns/a/sa/b/c", "spiffe://td"]
)
def test_other_paths_are_no_service_accounts(text):
    identity = SpiffeId.parse(text)
    assert (identity.namespace, identity.service_account) == ("", "")
    assert str(identity) == text


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "begin with spiffe://"),
        ("https://cluster.local/x", "begin with spiffe://"),
        ("SPIFFE://cluster.local/x", "begin with spiffe://"),
        ("spiffe:/cluster.local/x", "begin with spiffe://"),
        (" spiffe://cluster.local/x", "begin with spiffe://"),
        ("spiffe://", "no trust domain"),
        ("spiffe:///x", "no trust domain"),
        ("spiffe://Cluster.local/x", "other characters"),
        ("spiffe://user@cluster.local/x", "other characters"),
        ("spiffe://cluster.local:443/x", "other characters"),
        ("spiffe://cluster%2elocal/x", "other characters"),
        ("spiffe://[::1]/x", "other characters"),
        ("spiffe://cluster.local?a=b", "other characters"),
        ("spiffe://clüster.local/x", "other characters"),
        ("spiffe://cluster.local\n/x", "other characters"),
        ("spiffe://" + "a" * 256 + "/x", "longer than 255"),
        ("spiffe://cluster.local/", "empty segment"),
        ("spiffe://cluster.local/x/", "empty segment"),
        ("spiffe://cluster.local//x", "empty segment"),
        ("spiffe://cluster.local/./x", "dot segment"),
        ("spiffe://cluster.local/x/..", "dot segment"),
        ("spiffe://cluster.local/x?y", "other characters"),
        ("spiffe://cluster.local/x#y", "other characters"),
        ("spiffe://cluster.local/%41", "other characters"),
        ("spiffe://cluster.local/a b", "other characters"),
        ("spiffe://cluster.local/a\x00b", "other characters"),
        ("spiffe://cluster.local/é", "other characters"),
        ("spiffe://cluster.local/x\n", "other characters"),
        ("spiffe://cluster.local/" + "x" * MAX_ID, "longer than 2048"),
    ],
)
def test_whatever_bends_a_rule_is_refused(text, fault):
    with pytest.raises(IdentityError, match="is no SPIFFE id") as caught:
        SpiffeId.parse(text)
    assert fault in str(caught.value)
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


def test_an_id_may_be_as_long_as_the_standard_says():
    text = "spiffe://cluster.local/"
    assert SpiffeId.parse(text + "x" * (MAX_ID - len(text)))


@given(st.text(max_size=60), st.booleans())
def test_what_is_accepted_reads_back_the_same(text, prefixed):
    text = "spiffe://" + text if prefixed else text
    try:
        identity = SpiffeId.parse(text)
    except IdentityError:
        return
    assert str(identity) == text
    assert text.isascii()


def of(*names):
    return {"subjectAltName": names}


def test_the_peer_s_id_is_its_only_uri():
    assert str(peer_spiffe_id(of(("DNS", "reviews"), ("URI", REVIEWS)))) == REVIEWS


@pytest.mark.parametrize(
    ("certificate", "fault"),
    [
        (None, "no verified certificate"),
        ({}, "no verified certificate"),
        ({"subject": ()}, "0 URI names"),
        (of(("DNS", REVIEWS)), "0 URI names"),
        (of(("URI", REVIEWS), ("URI", REVIEWS)), "2 URI names"),
        (of(("URI", REVIEWS), ("URI", "https://x")), "2 URI names"),
        (of(("URI", "spiffe://cluster.local")), "names the trust domain"),
        (of(("URI", "https://x")), "no SPIFFE id"),
    ],
)
def test_a_certificate_without_one_identity_proves_nothing(certificate, fault):
    with pytest.raises(IdentityError) as caught:
        peer_spiffe_id(certificate)
    assert fault in str(caught.value)
