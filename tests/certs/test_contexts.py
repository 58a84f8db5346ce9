"""Contexts: what they let in, what they keep, and when they are made anew."""

from __future__ import annotations

import os
import ssl
import time
from pathlib import Path

import attrs
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from meshd.certs import contexts as contexts_module
from meshd.certs.contexts import Credential, TlsContexts, TlsSettings, mesh_context
from meshd.certs.identity import Identity
from meshd.certs.verify import verify_names, verify_spiffe
from meshd.errors import ConfigError, IdentityError, MeshdError
from meshd.net.memory import memory_pair
from meshd.net.tls import TlsConnection, wrap_client, wrap_server
from tests.certs.pki import DAY, HOUR, RATINGS, REVIEWS, key_to_pem, make_ca
from tests.net.test_tls import both


@attrs.define
class Source:
    current: Identity | None


@attrs.define
class Clock:
    now: float

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def ca():
    return make_ca()


@pytest.fixture
def clock():
    return Clock(time.time())


async def meet(client_context, server_context, *, verify=None, server_verify=None, hostname=None):
    """The outcome of a handshake: (client's, server's). The client reads once, as it is only then surely accepted."""
    client_end, server_end = memory_pair()

    async def be_client():
        connection = await wrap_client(client_end, client_context, verify=verify, server_hostname=hostname)
        return await connection.receive() and connection

    async def be_server():
        connection = await wrap_server(server_end, server_context, verify=server_verify)
        await connection.send(b"welcome")
        return connection

    return await both(be_client, be_server)


async def refusal(client_context, server_context, **kwargs) -> str:
    """Why they do not come together."""
    client, server = await meet(client_context, server_context, **kwargs)
    faults = [result for result in (client, server) if isinstance(result, IdentityError)]
    assert faults, (client, server)
    assert not (isinstance(client, TlsConnection) and isinstance(server, TlsConnection))
    return str(faults[0])


def test_a_context_is_kept_until_the_identity_is_swapped(ca, clock):
    source = Source(ca.issue(REVIEWS))
    contexts = TlsContexts(source, wall_clock=clock)
    first = contexts.mesh_server(alpn=("h2",))
    assert contexts.mesh_server(alpn=("h2",)) is first
    assert contexts.mesh_server(alpn=("http/1.1",)) is not first
    assert contexts.mesh_client(alpn=("h2",)) is not first
    source.current = ca.issue(REVIEWS)
    assert contexts.mesh_server(alpn=("h2",)) is not first


def test_equal_serial_with_new_roots_is_a_new_context(ca, clock):
    source = Source(ca.issue(REVIEWS))
    contexts = TlsContexts(source, wall_clock=clock)
    first = contexts.mesh_client()
    source.current = attrs.evolve(source.current, bundle_pem=ca.root_pem + make_ca("next").root_pem)
    second = contexts.mesh_client()
    assert second is not first
    assert len(first.get_ca_certs()) == 1
    assert len(second.get_ca_certs()) == 2


def test_without_an_identity_nothing_is_served(clock):
    contexts = TlsContexts(Source(None), wall_clock=clock)
    for use in (contexts.identity, contexts.mesh_server, contexts.mesh_client):
        with pytest.raises(IdentityError, match="no certificate yet"):
            use()


def test_an_expired_identity_is_never_served(ca, clock):
    contexts = TlsContexts(Source(ca.issue(REVIEWS, not_after=clock.now + 10)), wall_clock=clock)
    contexts.mesh_server()
    clock.now += 11
    with pytest.raises(IdentityError, match=r"ended at .* UTC and could not be renewed"):
        contexts.mesh_server()


async def test_times_are_judged_by_the_given_clock(ca, clock):
    """The machine's clock says that these certificates are of the future, or the past."""
    clock.now += 1000 * DAY
    late_ca = make_ca(not_before=clock.now - DAY)
    contexts = TlsContexts(Source(late_ca.issue(REVIEWS, not_before=clock.now - HOUR)), wall_clock=clock)
    client, server = await meet(contexts.mesh_client(), contexts.mesh_server())
    assert isinstance(client, TlsConnection), client
    assert isinstance(server, TlsConnection), server


@pytest.mark.parametrize(
    ("start", "end", "fault"), [(-DAY, -1, "certificate has expired"), (HOUR, DAY, "certificate is not yet valid")]
)
async def test_a_peer_out_of_its_time_is_refused(ca, clock, start, end, fault):
    good = mesh_context(ca.issue(REVIEWS), server=True, wall_clock=clock)
    other = ca.issue(RATINGS, not_before=clock.now + start, not_after=clock.now + end)
    assert fault in await refusal(mesh_context(other, server=False), good)
    # And by the machine's clock, when no other was given.
    assert fault in await refusal(mesh_context(other, server=False), mesh_context(ca.issue(REVIEWS), server=True))


async def test_an_authority_out_of_its_time_is_refused(clock):
    """Every link of the chain is judged."""
    root = make_ca(not_after=clock.now + 100 * DAY)
    middle = root.intermediate("short")
    context = mesh_context(middle.issue(REVIEWS, not_after=clock.now + 90 * DAY), server=True, wall_clock=clock)
    peer = mesh_context(middle.issue(RATINGS, not_after=clock.now + 90 * DAY), server=False)
    client, server = await meet(peer, context)
    assert isinstance(server, TlsConnection), (client, server)
    clock.now += 40 * DAY  # the intermediate lives 30 days
    assert "expired" in await refusal(peer, context)


async def test_a_root_renewed_with_its_key_may_be_there_twice(clock):
    old = make_ca(not_before=clock.now - 60 * DAY, not_after=clock.now - DAY)
    new = make_ca(key=old.key)
    for bundle in (old.root_pem + new.root_pem, new.root_pem + old.root_pem):
        identity = new.issue(REVIEWS, bundle_pem=bundle)
        context = mesh_context(identity, server=True, wall_clock=clock)
        client, server = await meet(mesh_context(identity, server=False, wall_clock=clock), context)
        assert isinstance(client, TlsConnection), (client, server)


async def test_an_intermediate_is_followed_to_the_root(ca, clock):
    source = Source(ca.intermediate().issue(REVIEWS))
    contexts = TlsContexts(source, wall_clock=clock)
    other = mesh_context(ca.issue(RATINGS), server=False, wall_clock=clock)
    client, _ = await meet(other, contexts.mesh_server(), verify=verify_spiffe(ids=[REVIEWS]))
    assert isinstance(client, TlsConnection), client


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda ca: ca.issue(dns=["reviews"]), "0 URI names"),
        (lambda ca: ca.issue(REVIEWS, uris=[RATINGS]), "2 URI names"),
        (lambda ca: ca.issue("spiffe://cluster.local/ns/../sa/x"), "dot segment"),
        (lambda ca: ca.issue("https://cluster.local/x"), "no SPIFFE id"),
        (lambda ca: ca.issue("spiffe://cluster.local"), "not a workload"),
        (lambda ca: ca.issue("spiffe://elsewhere/ns/default/sa/x"), "expected a workload of cluster.local"),
        (lambda ca: ca.issue(REVIEWS, is_ca=True, common_name="x"), "an authority's, not a workload's"),
        (lambda ca: ca.issue(REVIEWS, digital_signature=False), ""),
        (lambda ca: ca.issue(REVIEWS, usages=[ExtendedKeyUsageOID.SERVER_AUTH]), "purpose"),
        (lambda ca: ca.issue(REVIEWS, key=rsa.generate_private_key(65537, 1024)), ""),
        (lambda ca: make_ca("other").issue(REVIEWS, bundle_pem=ca.root_pem), "local issuer"),
    ],
)
async def test_a_client_that_proves_no_identity_is_refused(ca, clock, make, fault):
    contexts = TlsContexts(Source(ca.issue(RATINGS)), wall_clock=clock)
    try:
        peer = mesh_context(make(ca), server=False)
    except IdentityError:
        assert fault == ""  # OpenSSL does not even load a key as short as this
        return
    said = await refusal(peer, contexts.mesh_server(), server_verify=verify_spiffe(trust_domains=["cluster.local"]))
    assert fault in said


async def test_nothing_allowed_means_nobody(ca, clock):
    contexts = TlsContexts(Source(ca.issue(REVIEWS)), wall_clock=clock)
    said = await refusal(contexts.mesh_client(), contexts.mesh_server(), verify=verify_spiffe())
    assert said == f"the peer is {REVIEWS}, expected a workload of nobody (none is allowed)"


async def test_a_client_certificate_may_be_optional(ca, clock):
    contexts = TlsContexts(Source(ca.issue(REVIEWS)), wall_clock=clock)
    stranger = contexts.web_client(roots_pem=ca.root_pem, verify_host=False)
    server = contexts.mesh_server(require_client_certificate=False)
    verify = verify_spiffe(trust_domains=["cluster.local"], optional=True)
    _, served = await meet(stranger, server, server_verify=verify)
    assert isinstance(served, TlsConnection)
    assert served.tls.peer_uri == ""
    _, served = await meet(contexts.mesh_client(), server, server_verify=verify)
    assert served.tls.peer_uri == REVIEWS
    assert "no certificate" in await refusal(stranger, contexts.mesh_server(), server_verify=verify)


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
async def test_both_versions_with_forward_secrecy(ca, clock, version):
    contexts = TlsContexts(Source(ca.issue(REVIEWS)), wall_clock=clock)
    server = contexts.mesh_server(minimum_version=version, maximum_version=version)
    client, served = await meet(contexts.mesh_client(), server)
    assert client.tls.version.replace(".", "_") == version
    assert served.tls.cipher.startswith(("ECDHE", "TLS_"))
    assert all(cipher["aead"] for cipher in server.get_ciphers())


async def test_no_ticket_is_given_to_a_client_with_a_certificate(ca, clock):
    contexts = TlsContexts(Source(ca.issue(REVIEWS)), wall_clock=clock)
    for context in (contexts.mesh_server(), mesh_context(ca.issue(REVIEWS), server=True)):
        client, _ = await meet(contexts.mesh_client(), context)
        session = client._object.session
        assert session is None or not session.has_ticket


async def test_a_gateway_serves_by_name(ca, clock):
    contexts = TlsContexts(Source(None), wall_clock=clock)
    identity = ca.issue(dns=["bookinfo.example.com"])
    credential = Credential(identity.chain_pem, identity.key_pem)
    server = contexts.gateway_server(credential, alpn=("h2", "http/1.1"))
    assert contexts.gateway_server(credential, alpn=("h2", "http/1.1")) is server
    client = contexts.web_client(roots_pem=ca.root_pem, alpn=("h2",))
    connection, _ = await meet(client, server, hostname="bookinfo.example.com")
    assert connection.tls.alpn == "h2"
    assert "Hostname mismatch" in await refusal(client, server, hostname="other.example.com")
    anyone = contexts.web_client(roots_pem=ca.root_pem, insecure_skip_verify=True)
    connection, _ = await meet(anyone, server, hostname="other.example.com")
    assert isinstance(connection, TlsConnection)
    assert connection.tls.peer_certificate == b""


async def test_a_gateway_learns_what_a_client_s_certificate_says(ca, clock):
    contexts = TlsContexts(Source(None), wall_clock=clock)
    identity = ca.issue(dns=["bookinfo.example.com"])
    server = contexts.gateway_server(
        Credential(identity.chain_pem, identity.key_pem), client_roots_pem=ca.root_pem, require_client_certificate=True
    )
    own = ca.issue(dns=["client.example.com"], common_name='client "1"')
    client = contexts.web_client(roots_pem=ca.root_pem, credential=Credential(own.chain_pem, own.key_pem))
    _, served = await meet(client, server, hostname="bookinfo.example.com")
    assert served.tls.peer_subject == 'CN=client \\"1\\"'
    assert served.tls.peer_dns == ("client.example.com",)


async def test_the_system_s_roots_do_not_know_a_private_authority(ca, clock):
    contexts = TlsContexts(Source(None), wall_clock=clock)
    identity = ca.issue(dns=["example.com"])
    server = contexts.gateway_server(Credential(identity.chain_pem, identity.key_pem))
    assert "local issuer" in await refusal(contexts.web_client(), server, hostname="example.com")


async def test_mutual_at_a_gateway(ca, clock):
    contexts = TlsContexts(Source(None), wall_clock=clock)
    web = ca.issue(dns=["example.com"])
    server = contexts.gateway_server(
        Credential(web.chain_pem, web.key_pem), client_roots_pem=ca.root_pem, require_client_certificate=True
    )
    partner = ca.issue(dns=["partner.example", "*.partner.example"])
    client = contexts.web_client(roots_pem=ca.root_pem, credential=Credential(partner.chain_pem, partner.key_pem))
    for names in ((), ["Partner.example"], ["other", "a.partner.example"]):
        _, served = await meet(client, server, hostname="example.com", server_verify=verify_names(names))
        assert isinstance(served, TlsConnection), served
        assert served.tls.peer_uri == ""
    for names in (["other"], ["a.b.partner.example"]):
        said = await refusal(client, server, hostname="example.com", server_verify=verify_names(names))
        assert "none of the names" in said
    without = contexts.web_client(roots_pem=ca.root_pem)
    assert "no certificate" in await refusal(without, server, hostname="example.com")
    optional = contexts.gateway_server(Credential(web.chain_pem, web.key_pem), client_roots_pem=ca.root_pem)
    _, served = await meet(without, optional, hostname="example.com", server_verify=verify_names(["x"], optional=True))
    assert isinstance(served, TlsConnection)
    assert "no verified certificate" in await refusal(
        without, optional, hostname="example.com", server_verify=verify_names(["x"])
    )


async def test_a_resumed_session_is_judged_by_its_leaf(ca, clock):
    """TLS 1.2 resumes by session id, which ``ssl`` cannot switch off."""
    contexts = TlsContexts(Source(ca.issue(REVIEWS)), wall_clock=clock)
    server = contexts.mesh_server(maximum_version="TLSv1_2")
    client_context = contexts.mesh_client()
    client, _ = await meet(client_context, server)
    session = client._object.session

    async def again():
        client_end, server_end = memory_pair()
        resumed = TlsConnection(client_end, client_context, server_side=False, server_hostname=None)
        resumed._object.session = session
        return await both(
            lambda: resumed._begin(None, 100_000),
            lambda: wrap_server(server_end, server, verify=verify_spiffe(ids=[REVIEWS])),
        )

    _, served = await again()
    assert isinstance(served, TlsConnection), served
    assert served._object.session_reused
    assert served.tls.peer_uri == REVIEWS
    clock.now += 2 * DAY
    _, served = await again()
    assert isinstance(served, IdentityError)


@pytest.mark.parametrize(
    "use",
    [
        lambda contexts, good: contexts.gateway_server(Credential("", good.key_pem)),
        lambda contexts, good: contexts.gateway_server(Credential(good.chain_pem, "")),
        lambda contexts, good: contexts.gateway_server(Credential(good.chain_pem, key_to_pem(make_ca().key))),
        lambda contexts, good: contexts.gateway_server(
            Credential("-----BEGIN CERTIFICATE-----\nxx\n-----END CERTIFICATE-----", good.key_pem)
        ),
        lambda contexts, good: contexts.gateway_server(
            Credential(good.chain_pem, good.key_pem), require_client_certificate=True
        ),
        lambda contexts, good: contexts.web_client(roots_pem="nothing"),
        lambda contexts, good: contexts.web_client(
            roots_pem="-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
        ),
        lambda contexts, good: contexts.web_client(minimum_version="TLSv1_1"),
        lambda contexts, good: contexts.gateway_server(
            Credential(good.chain_pem, good.key_pem), cipher_suites=("ECDHE-RSA-AES128-GCM-SHA256", "NO-SUCH")
        ),
        lambda contexts, good: contexts.gateway_server(
            Credential(good.chain_pem, good.key_pem), minimum_version="TLSv1_3", maximum_version="TLSv1_2"
        ),
    ],
)
def test_what_cannot_be_used_is_a_configuration_error(ca, clock, use):
    with pytest.raises(ConfigError) as caught:
        use(TlsContexts(Source(None), wall_clock=clock), ca.issue(dns=["x"]))
    assert "PRIVATE KEY" not in str(caught.value)


def test_an_encrypted_key_asks_nobody(ca, clock):
    identity = ca.issue(dns=["x"])
    key = serialization.load_pem_private_key(identity.key_pem.encode(), None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    ).decode()
    with pytest.raises(ConfigError, match="cannot be used together"):
        TlsContexts(Source(None), wall_clock=clock).gateway_server(Credential(identity.chain_pem, encrypted))


def test_chosen_suites_are_the_only_ones_below_1_3(ca, clock):
    identity = ca.issue(dns=["x"])
    context = TlsContexts(Source(None), wall_clock=clock).gateway_server(
        Credential(identity.chain_pem, identity.key_pem),
        cipher_suites=("TLS_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"),
    )
    below = [cipher["name"] for cipher in context.get_ciphers() if cipher["protocol"] != "TLSv1.3"]
    assert below == ["ECDHE-ECDSA-AES128-GCM-SHA256"]
    assert context.security_level == 2


def test_a_broken_identity_says_so(ca):
    identity = ca.issue(REVIEWS)
    for broken in (
        attrs.evolve(identity, bundle_pem=""),
        attrs.evolve(identity, key_pem=key_to_pem(make_ca().key)),
        attrs.evolve(identity, chain_pem="x"),
    ):
        with pytest.raises(IdentityError, match=f"the identity {REVIEWS} cannot be used"):
            mesh_context(broken, TlsSettings(), server=True)


def test_kept_contexts_are_bounded(ca, clock, monkeypatch):
    monkeypatch.setattr(contexts_module, "MAX_KEPT", 3)
    contexts = TlsContexts(Source(None), wall_clock=clock)
    for number in range(10):
        contexts.web_client(roots_pem=ca.root_pem, alpn=(str(number),))
    assert len(contexts._others) == 3


def test_keys_leave_no_file_behind(ca, clock, monkeypatch, tmp_path):
    """Also where there is no memfd."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    seen: list[int] = []
    real = os.unlink

    def unlink(path, **kwargs) -> None:
        seen.append(Path(path).stat().st_mode & 0o777)
        real(path, **kwargs)

    monkeypatch.setattr(os, "unlink", unlink)
    monkeypatch.delattr(os, "memfd_create")
    before = len(list(Path("/proc/self/fd").iterdir()))
    mesh_context(ca.issue(REVIEWS), server=True)
    with pytest.raises(MeshdError):
        mesh_context(attrs.evolve(ca.issue(REVIEWS), chain_pem="-----BEGIN CERTIFICATE-----"), server=True)
    assert seen == [0o600, 0o600]
    assert list(tmp_path.iterdir()) == []
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_public_authorities_are_not_trusted_in_the_mesh(ca):
    context = mesh_context(ca.issue(REVIEWS), server=False)
    assert len(context.get_ca_certs()) == 1
    assert context.verify_mode == ssl.CERT_REQUIRED
