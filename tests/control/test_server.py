"""The API as strangers, proxies and administrators meet it."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest
import trio
from trio.testing import MockClock

from meshd.agent import AgentLimits, Backoff
from meshd.certs.authority import MAX_CSR, Subject
from meshd.certs.x509 import describe
from meshd.control.authority import open_authority
from meshd.control.issuing import Caller, IssueRates, Refusal
from meshd.control.nodes import NodeLimits
from meshd.control.rates import Rate
from meshd.control.server import ApiLimits
from meshd.control.serving import ServingLimits
from meshd.errors import ConfigError, IdentityError
from meshd.http.h1 import H1ClientConnection
from meshd.http.head import Headers, RequestHead
from meshd.net.address import Address
from meshd.net.memory import MemoryNetwork
from meshd.snapshot.protocol import MAX_BATCH, CertificateRequest, SecretResponse
from meshd.snapshot.snapshot import SecretRef
from tests.agent.rig import LOCAL_SECRET, OPERATORS, Clock, ControlRig, snapshot
from tests.control.api import REGISTRATION, Client, identity_of, request

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "reference" / "control-api.md"


def audit_of(control: ControlRig) -> list[dict[str, object]]:
    return [json.loads(line) for line in (control.state / "audit.log").read_text().splitlines()]


async def test_the_bundle_is_for_everybody(control: ControlRig) -> None:
    stranger = Client(control)
    answer = await stranger.ask("GET", "/v1/bundle")
    assert answer.json == {"bundle": control.authority.bundle.pem, "trust_domain": "cluster.local"}
    etag = answer.headers.get(b"etag").decode()
    assert (await stranger.ask("GET", "/v1/bundle", if_none_match=etag)).status == 304


async def test_a_certificate_for_a_token_is_audited(control: ControlRig) -> None:
    stranger = Client(control)
    bearer = "Bearer " + control.token()
    answer = await stranger.ask("POST", "/v1/certificates", request(), authorization=bearer, meshd_node="n1")
    assert answer.status == 200
    facts = describe(answer.json["chain"])[0]
    assert facts.spiffe_id == answer.json["spiffe_id"] == "spiffe://cluster.local/ns/default/sa/reviews"
    (line,) = audit_of(control)
    assert line["event"] == "certificate_issued"
    assert line["identity"] == facts.spiffe_id
    assert line["serial"] == facts.serial
    assert str(line["by"]).startswith("token ")
    assert line["node"] == "n1"
    assert bearer[7:].rpartition(".")[2] not in json.dumps(line)


async def test_a_refusal_is_audited_without_the_token(control: ControlRig) -> None:
    stranger = Client(control)
    bearer = f"meshd1.{'0' * 16}.{'B' * 43}"
    answer = await stranger.ask("POST", "/v1/certificates", request(), authorization=f"Bearer {bearer}")
    assert (answer.status, answer.code) == (403, "identity_refused")
    (line,) = audit_of(control)
    assert line["event"] == "certificate_refused"
    assert "B" * 43 not in json.dumps(line)


async def test_nothing_proven(control: ControlRig) -> None:
    answer = await Client(control).ask(
        "POST", "/v1/certificates", request(namespace="default", service_account="admin")
    )
    assert (answer.status, answer.code) == (401, "no_credential")
    assert "meshd token create" in answer.json["message"]


async def test_renewal_is_for_oneself_only(control: ControlRig) -> None:
    proxy = Client(control, identity_of(control))
    answer = await proxy.ask("POST", "/v1/certificates", request())
    assert answer.json["spiffe_id"].endswith("/sa/reviews")
    answer = await proxy.ask("POST", "/v1/certificates", request(service_account="admin"))
    assert (answer.status, answer.code) == (403, "identity_refused")
    assert "the client certificate is for default/reviews" in answer.json["message"]


async def test_a_bad_request_does_not_use_the_token_up(control: ControlRig) -> None:
    stranger = Client(control)
    bearer = "Bearer " + control.token()
    for csr in ("", "x", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"):
        answer = await stranger.ask("POST", "/v1/certificates", {"csr": csr}, authorization=bearer)
        assert (answer.status, answer.code) == (403, "identity_refused")
    assert (await stranger.ask("POST", "/v1/certificates", request(), authorization=bearer)).status == 200


async def test_the_local_credential_from_this_machine(control: ControlRig) -> None:
    local = Client(control)
    bearer = f"Bearer {LOCAL_SECRET}"
    for account in ("a", "b", "a"):
        body = request(namespace="shop", service_account=account)
        answer = await local.ask("POST", "/v1/certificates", body, authorization=bearer)
        assert answer.json["spiffe_id"] == f"spiffe://cluster.local/ns/shop/sa/{account}"
    assert [line["by"] for line in audit_of(control)] == ["local"] * 3


async def test_the_local_credential_from_elsewhere_is_worth_nothing(control: ControlRig) -> None:
    asked = CertificateRequest(str(request()["csr"]))
    caller = Caller(Address("10.0.0.77", 5000), bearer=LOCAL_SECRET)
    with pytest.raises(Refusal, match="was not shown from this machine"):
        control.issuer.issue(caller, asked, trio.current_time())
    for host in ("127.0.0.1", "127.3.2.1", "::1", "::ffff:127.0.0.1"):
        control.issuer.issue(Caller(Address(host, 5000), bearer=LOCAL_SECRET), asked, trio.current_time())


async def test_a_wrong_local_credential(control: ControlRig) -> None:
    answer = await Client(control).ask("POST", "/v1/certificates", request(), authorization="Bearer local.wrong")
    assert answer.status == 403
    assert "the control plane may have been restarted" in answer.json["message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/config"),
        ("PUT", "/v1/registration"),
        ("DELETE", "/v1/registration"),
        ("GET", "/v1/parts/" + "0" * 64),
        ("POST", "/v1/parts"),
        ("GET", "/v1/secrets/kubernetes%3A%2F%2Fweb"),
    ],
)
async def test_a_stranger_gets_nothing(control: ControlRig, method: str, path: str) -> None:
    answer = await Client(control).ask(method, path, meshd_node="n1", authorization=f"Bearer {control.token()}")
    assert (answer.status, answer.code) == (401, "certificate_required")


@pytest.mark.parametrize("node", ["", "../x", "a b", "x" * 300])
async def test_a_node_must_have_a_name(control: ControlRig, node: str) -> None:
    proxy = Client(control, identity_of(control))
    headers = {"meshd_node": node} if node else {}
    answer = await proxy.ask("GET", "/v1/config", **headers)
    assert (answer.status, answer.code) == (400, "node_required")


async def test_not_registered(control: ControlRig) -> None:
    proxy = Client(control, identity_of(control))
    answer = await proxy.ask("GET", "/v1/config", meshd_node="n1")
    assert (answer.status, answer.code) == (409, "unregistered")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"unknown": 1}',
        b'{"namespace": "bank"}',
        b'{"spiffe_id": "spiffe://cluster.local/ns/x/sa/y"}',
        b'{"inbound_port": "80"}',
        b'{"inbound_port": 70000}',
        b'{"inbound_port": true}',
        b'{"kind": "king"}',
        b'{"address": "a b"}',
        b'{"labels": {"a": "b"}}',
        b'{"labels": [["a b", "c"]]}',
        json.dumps({"labels": [[f"l{index}", "x"] for index in range(65)]}).encode(),
        b"[" * 50_000,
    ],
)
async def test_a_registration_is_read_strictly(control: ControlRig, body: bytes) -> None:
    proxy = Client(control, identity_of(control))
    answer = await proxy.ask("PUT", "/v1/registration", body, meshd_node="n1")
    assert (answer.status, answer.code) == (400, "bad_request")
    assert len(control.nodes) == 0


async def test_who_a_node_is_comes_from_its_certificate(control: ControlRig) -> None:
    reviews, ratings = Client(control, identity_of(control)), Client(control, identity_of(control, "ratings"))
    for proxy in (reviews, ratings):
        answer = await proxy.ask("PUT", "/v1/registration", REGISTRATION, meshd_node="same-name")
        assert answer.status == 200
    assert len(control.nodes) == 2
    one = await reviews.ask("GET", "/v1/config", meshd_node="same-name")
    two = await ratings.ask("GET", "/v1/config", meshd_node="same-name")
    assert one.body != two.body
    await ratings.ask("DELETE", "/v1/registration", meshd_node="same-name")
    assert [node.key.spiffe_id for node in control.nodes] == ["spiffe://cluster.local/ns/default/sa/reviews"]


async def test_parts_of_others_do_not_exist(control: ControlRig) -> None:
    reviews, ratings = Client(control, identity_of(control)), Client(control, identity_of(control, "ratings"))
    for proxy in (reviews, ratings):
        await proxy.ask("PUT", "/v1/registration", REGISTRATION, meshd_node="n1")
        await proxy.ask("GET", "/v1/config", meshd_node="n1")
    mine, theirs = [control.publisher.current(node.scope) for node in control.nodes]
    assert mine is not None
    assert theirs is not None
    for digest in mine.parts:
        assert (await reviews.ask("GET", f"/v1/parts/{digest}", meshd_node="n1")).body == mine.parts[digest]
    foreign = sorted(set(theirs.parts) - set(mine.parts))
    assert foreign
    for digest in [*foreign, "0" * 64, "x", "../../etc/passwd"]:
        answer = await reviews.ask("GET", f"/v1/parts/{digest}", meshd_node="n1")
        assert (answer.status, answer.code) == (404, "no_part")
    both = [next(iter(mine.parts)), foreign[0]]
    assert (await reviews.ask("POST", "/v1/parts", {"digests": both}, meshd_node="n1")).status == 404
    many = ["0" * 64] * 513
    assert (await reviews.ask("POST", "/v1/parts", {"digests": many}, meshd_node="n1")).status == 400


async def test_secrets_are_for_those_whose_configuration_names_them(control: ControlRig, nursery: trio.Nursery) -> None:
    name = "kubernetes://web"
    await control.stop()
    control.options["secrets"] = lambda _scope, asked: SecretResponse(asked, "v1", "CERT", "KEY")
    await control.start(nursery)
    control.publish(gateway=snapshot("g", secrets=(SecretRef(name, "v1"),)), reviews=snapshot("one"))
    gateway, reviews = Client(control, identity_of(control, "gateway")), Client(control, identity_of(control))
    for proxy in (gateway, reviews):
        await proxy.ask("PUT", "/v1/registration", REGISTRATION, meshd_node="n1")
    path = "/v1/secrets/kubernetes%3A%2F%2Fweb"
    assert (await gateway.ask("GET", path, meshd_node="n1")).json["key"] == "KEY"
    for proxy, where in ((reviews, path), (gateway, path + "x"), (gateway, "/v1/secrets/%2e%2e")):
        answer = await proxy.ask("GET", where, meshd_node="n1")
        assert (answer.status, answer.code) == (404, "no_secret")


async def test_conditional_and_waiting_polls(control: ControlRig, autojump_clock: MockClock) -> None:
    proxy = Client(control, identity_of(control))
    await proxy.ask("PUT", "/v1/registration", REGISTRATION, meshd_node="n1")
    first = await proxy.ask("GET", "/v1/config", meshd_node="n1", prefer="wait=30")
    assert first.status == 200
    etag = first.headers.get(b"etag").decode()
    began = trio.current_time()
    known = f'"{"0" * 64}", W/{etag}'
    assert (await proxy.ask("GET", "/v1/config", meshd_node="n1", if_none_match=known)).status == 304
    assert trio.current_time() == began
    answer = await proxy.ask("GET", "/v1/config", meshd_node="n1", if_none_match=etag, prefer="respond-async, wait=12")
    assert (answer.status, trio.current_time() - began) == (304, 12)
    # Longer than a control plane is willing to hold.
    began = trio.current_time()
    answer = await proxy.ask("GET", "/v1/config", meshd_node="n1", if_none_match=etag, prefer="wait=999999")
    assert (answer.status, trio.current_time() - began) == (304, 60)


async def test_before_the_store_is_read_a_poll_is_held_a_little(
    tmp_path: Path, nursery: trio.Nursery, control: ControlRig, autojump_clock: MockClock
) -> None:
    await control.stop()
    await control.start(nursery)
    proxy = Client(control, identity_of(control))
    await proxy.ask("PUT", "/v1/registration", REGISTRATION, meshd_node="n1")
    answer = await proxy.ask("GET", "/v1/config", meshd_node="n1")
    assert (answer.status, answer.code) == (503, "not_ready")
    assert answer.json["retry_after"] == 1

    async def soon() -> None:
        await trio.sleep(2)
        control.publish(reviews=snapshot("one"))

    nursery.start_soon(soon)
    began = trio.current_time()
    assert (await proxy.ask("GET", "/v1/config", meshd_node="n1")).status == 200
    assert trio.current_time() - began == 2


async def test_what_cannot_be_compiled_for_a_node(control: ControlRig) -> None:
    proxy = Client(control, identity_of(control, "unknown"))
    await proxy.ask("PUT", "/v1/registration", REGISTRATION, meshd_node="n1")
    answer = await proxy.ask("GET", "/v1/config", meshd_node="n1")
    assert (answer.status, answer.code) == (503, "no_configuration")
    assert "nothing for unknown" in answer.json["message"]


async def test_draining_answers_waiting_polls(control: ControlRig, autojump_clock: MockClock) -> None:
    proxy = Client(control, identity_of(control))
    await proxy.ask("PUT", "/v1/registration", REGISTRATION, meshd_node="n1")
    first = await proxy.ask("GET", "/v1/config", meshd_node="n1")
    etag = first.headers.get(b"etag").decode()
    async with trio.open_nursery() as waiting:

        async def stop() -> None:
            await trio.sleep(5)
            control.api.drain()

        waiting.start_soon(stop)
        began = trio.current_time()
        answer = await proxy.ask("GET", "/v1/config", meshd_node="n1", if_none_match=etag, prefer="wait=30")
    assert (answer.status, trio.current_time() - began) == (304, 5)


async def test_polls_of_one_node_are_bounded(control: ControlRig, autojump_clock: MockClock) -> None:
    identity = identity_of(control)
    proxy = Client(control, identity)
    await proxy.ask("PUT", "/v1/registration", REGISTRATION, meshd_node="n1")
    etag = (await proxy.ask("GET", "/v1/config", meshd_node="n1")).headers.get(b"etag").decode()
    statuses: list[int] = []

    async def poll() -> None:
        answer = await Client(control, identity).ask(
            "GET", "/v1/config", meshd_node="n1", if_none_match=etag, prefer="wait=5"
        )
        statuses.append(answer.status)

    async with trio.open_nursery() as polls:
        for _ in range(6):
            polls.start_soon(poll)
    assert sorted(statuses) == [304] * 4 + [429] * 2
    assert control.api.polling.waiting == 0


@pytest.mark.parametrize(
    "status", [b"x", b"[]", b'{"applied": "v1"}', b'{"node": "a"}', b'{"reason": "' + b"x" * 600 + b'"}']
)
async def test_a_status_is_read_strictly(control: ControlRig, status: bytes) -> None:
    proxy = Client(control, identity_of(control))
    await proxy.ask("PUT", "/v1/registration", REGISTRATION, meshd_node="n1")
    answer = await proxy.ask("GET", "/v1/config", meshd_node="n1", meshd_status=status.decode())
    assert (answer.status, answer.code) == (400, "bad_request")


async def test_too_large_a_body(control: ControlRig) -> None:
    proxy = Client(control, identity_of(control))
    for length in (70_000, 10**15, None):
        client, _ = await proxy.channel._connected()
        stream = client.open()
        headers = Headers.of([(b"meshd-node", b"n1")])
        head = RequestHead(b"PUT", b"/v1/registration", b"control", headers, length=length)
        await stream.send_head(head, b"x" * (20 if length else 66_000), end=False)
        assert (await stream.receive_head()).status == 413
        assert b'"too_large"' in await stream.body.receive()
        stream.finish()
    assert (await proxy.ask("PUT", "/v1/registration", REGISTRATION, meshd_node="n1")).status == 200


async def test_unknown_places(control: ControlRig) -> None:
    stranger = Client(control)
    for method, path, status in (
        ("GET", "/", 404),
        ("GET", "/v2/config", 404),
        ("GET", "/v1/parts/", 405),
        ("DELETE", "/v1/bundle", 405),
        ("GET", "/v1/certificates", 405),
        ("GET", "/v1/%2e%2e/config", 404),
    ):
        assert (await stranger.ask(method, path)).status == status, path


async def test_rates_by_caller(
    tmp_path: Path, nursery: trio.Nursery, control: ControlRig, autojump_clock: MockClock
) -> None:
    await control.stop()
    control.options["limits"] = ApiLimits(per_caller=Rate(1.0, 3.0))
    await control.start(nursery)
    stranger, proxy = Client(control), Client(control, identity_of(control))
    statuses = [(await stranger.ask("GET", "/v1/bundle")).status for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    assert (await proxy.ask("GET", "/v1/bundle")).status == 200, "one caller's storm is not another's"
    await trio.sleep(1)
    assert (await stranger.ask("GET", "/v1/bundle")).status == 200


async def test_guessing_tokens_is_slow(control: ControlRig, autojump_clock: MockClock) -> None:
    stranger = Client(control)
    tries = [
        (
            await stranger.ask(
                "POST", "/v1/certificates", request(), authorization=f"Bearer meshd1.{'0' * 16}.{'A' * 43}"
            )
        ).status
        for _ in range(25)
    ]
    assert tries == [403] * 20 + [429] * 5


async def test_nodes_are_for_administrators(control: ControlRig, nursery: trio.Nursery) -> None:
    proxy = Client(control, identity_of(control))
    await proxy.ask("PUT", "/v1/registration", REGISTRATION, meshd_node="n1")
    assert (await proxy.ask("GET", "/v1/nodes")).code == "not_admin"
    assert (await Client(control).ask("GET", "/v1/nodes")).code == "not_admin"
    assert (await Client(control).ask("GET", "/v1/nodes", authorization="Bearer local.x")).code == "not_admin"
    answer = await Client(control).ask("GET", "/v1/nodes", authorization=f"Bearer {LOCAL_SECRET}")
    (row,) = answer.json["nodes"]
    assert row["name"] == "n1"
    assert row["status"] == "NEVER"
    assert row["published"]
    await control.stop()
    control.options["admins"] = frozenset({"spiffe://cluster.local/ns/ops/sa/admin"})
    await control.start(nursery)
    admin = Client(control, identity_of(control, "admin", namespace="ops"))
    assert (await admin.ask("GET", "/v1/nodes")).status == 200


async def test_a_connection_does_not_outlive_its_certificate(control: ControlRig, autojump_clock: MockClock) -> None:
    proxy = Client(control, identity_of(control, ttl=60.0))
    assert (await proxy.ask("PUT", "/v1/registration", REGISTRATION, meshd_node="n1")).status == 200
    connection = proxy.channel._client
    assert connection is not None
    proxy.channel._contexts.identity = lambda: proxy.channel._made_with  # type: ignore[method-assign, assignment, return-value]
    await trio.sleep(61)
    answer = await proxy.ask("GET", "/v1/config", meshd_node="n1")
    assert proxy.channel._client is connection
    assert (answer.status, answer.code) == (401, "certificate_expired")


async def test_a_certificate_of_another_ca(control: ControlRig, tmp_path: Path) -> None:
    other = open_authority(tmp_path / "other", "cluster.local", control.clock)
    identity = other.make_identity(Subject("spiffe://cluster.local/ns/default/sa/reviews"))
    foreign = Client(control, attrs.evolve(identity, bundle_pem=control.authority.bundle.pem))
    with pytest.raises(IdentityError, match="does not accept our certificate"):
        await foreign.ask("GET", "/v1/config", meshd_node="n1")
    assert control.counted == []


async def test_a_certificate_of_another_trust_domain(control: ControlRig) -> None:
    identity = control.authority.make_identity(Subject("spiffe://other.example/ns/default/sa/reviews"))
    foreign = Client(control, identity)
    with pytest.raises(IdentityError):
        await foreign.ask("GET", "/v1/config", meshd_node="n1")
    assert control.counted == []


async def ask_operators(
    control: ControlRig,
    path: str,
    host: bytes = b"localhost:15014",
    *,
    method: bytes = b"GET",
    body: bytes = b"",
    origin: bytes = b"",
) -> tuple[int, bytes]:
    client = H1ClientConnection(await control.network.connect(OPERATORS))
    stream = client.open()
    request = RequestHead(method, path.encode(), host, length=len(body))
    if origin:
        request.headers.add(b"origin", origin)
    await stream.send_head(request, body, end=True)
    head = await stream.receive_head()
    answer = b""
    while piece := await stream.body.receive():
        answer += piece
    client.close()
    return head.status, answer


async def test_the_operators_port(control: ControlRig) -> None:
    assert await ask_operators(control, "/ready") == (200, b"ready\n")
    assert await ask_operators(control, "/metrics") == (200, b"meshd_up 1\n")
    status, body = await ask_operators(control, "/debug/statistics")
    assert status == 200
    assert json.loads(body)["publisher"]["generation"] == 1
    assert (await ask_operators(control, "/debug/nodes"))[1] == b'{"nodes":[]}'
    assert (await ask_operators(control, "/debug/secrets"))[0] == 404
    assert (await ask_operators(control, "/ready", method=b"POST"))[0] == 405


async def test_the_operators_port_is_not_lent_to_a_browser(control: ControlRig) -> None:
    """A page whose name points at 127.0.0.1 asks by its own name."""
    assert (await ask_operators(control, "/debug/nodes", b"evil.example:15014"))[0] == 421
    assert (await ask_operators(control, "/debug/nodes", b"127.0.0.1:15014"))[0] == 200
    assert (await ask_operators(control, "/debug/nodes", b"[::1]:15014"))[0] == 200


async def explain_backwards(body: bytes) -> bytes:
    if not body:
        raise ConfigError("there is no question")
    return body[::-1]


async def explaining(directory: Path, nursery: trio.Nursery) -> ControlRig:
    rig = ControlRig(MemoryNetwork(), directory / "control", Clock(), explain=explain_backwards)
    await rig.start(nursery)
    return rig


async def test_explanations_are_for_administrators(tmp_path: Path, nursery: trio.Nursery) -> None:
    control = await explaining(tmp_path, nursery)
    local = f"Bearer {LOCAL_SECRET}"
    stranger = Client(control)
    answer = await stranger.ask("POST", "/v1/explain", b"abc", authorization=local)
    assert (answer.status, answer.body) == (200, b"cba")
    assert answer.headers.get(b"cache-control") == b"no-store"
    refused = await Client(control, identity_of(control)).ask("POST", "/v1/explain", b"abc")
    assert (refused.status, refused.code) == (403, "not_admin")
    wrong = await stranger.ask("POST", "/v1/explain", b"", authorization=local)
    assert (wrong.status, wrong.code, wrong.json["message"]) == (400, "bad_request", "there is no question")


async def test_explanations_at_the_operators_port(tmp_path: Path, nursery: trio.Nursery) -> None:
    control = await explaining(tmp_path, nursery)
    assert await ask_operators(control, "/debug/explain", method=b"POST", body=b"abc") == (200, b"cba")
    assert (await ask_operators(control, "/debug/explain", method=b"POST"))[0] == 400
    assert (await ask_operators(control, "/debug/explain"))[0] == 404
    assert (await ask_operators(control, "/debug/explain", b"evil.example", method=b"POST", body=b"a"))[0] == 421


async def test_pages_of_others_ask_nothing_at_the_operators_port(tmp_path: Path, nursery: trio.Nursery) -> None:
    control = await explaining(tmp_path, nursery)
    for origin, status in ((b"http://localhost:15014", 200), (b"http://evil.example", 403), (b"null", 403)):
        asked = await ask_operators(control, "/debug/explain", method=b"POST", body=b"abc", origin=origin)
        assert asked[0] == status


async def test_a_control_plane_without_explanations(control: ControlRig) -> None:
    assert (await ask_operators(control, "/debug/explain", method=b"POST", body=b"abc"))[0] == 404


async def test_the_documentation_names_every_request(control: ControlRig) -> None:
    text = DOCUMENTATION.read_text()
    for method, path in [*control.api._exact, *control.api._below]:
        assert f"`{method.decode()} {path}" in text, path


def test_the_documentation_has_the_limits_in_force() -> None:
    text = DOCUMENTATION.read_text()
    api, serving, nodes, issue, agent = ApiLimits(), ServingLimits(), NodeLimits(), IssueRates(), AgentLimits()
    rows = {
        "connections; of them without": f"{serving.max_connections:,}; {serving.max_anonymous:,}",
        "TLS handshake": f"{serving.handshake_timeout:.0f} s, {serving.http.header_timeout:.0f} s, {api.body_timeout:.0f} s",
        "idle connection": f"{serving.http.idle_timeout:.0f} s",
        "requests of a registered node": f"{api.per_caller.per_second:.0f} a second, {api.per_caller.burst:.0f} at once",
        "certificates asked for": f"{issue.per_caller.per_second:.0f} a second, {issue.per_caller.burst:.0f} at once",
        "refused attempts": f"{issue.failures.per_second:.0f} a second, {issue.failures.burst:.0f} at once",
        "waiting polls": f"{api.polls.max_waiting:,}; {api.polls.max_waiting_per_node}",
        "nodes; of one": f"{nodes.most:,}; {nodes.most_per_identity:,}",
        "body of a request": f"{api.max_body // 1024} KiB, {MAX_CSR // 1024} KiB",
        "batch of parts": f"{MAX_BATCH}",
    }
    for start, limit in rows.items():
        (row,) = [line for line in text.splitlines() if line.startswith(f"| {start}")]
        assert limit in row, row
    waiting = agent.poll_wait + agent.request_timeout
    assert f"({waiting:.0f} s with a wait of {agent.poll_wait:.0f} s)" in text
    backoff = Backoff()
    assert f"from {backoff.first} s to {backoff.most:.0f} s" in text


async def raw_exchange(control: ControlRig, head: bytes) -> bytes:
    connection = await control.network.connect(OPERATORS)
    await connection.send(head + b"\r\nhost: localhost\r\nconnection: close\r\n\r\n")
    data = b""
    while piece := await connection.receive():
        data += piece
    return data


async def test_head_has_the_length_and_no_body(control: ControlRig) -> None:
    data = await raw_exchange(control, b"HEAD /ready HTTP/1.1")
    assert data.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"content-length: 6\r\n" in data
    assert data.endswith(b"\r\n\r\n")


async def test_no_content_has_no_length(control: ControlRig) -> None:
    proxy = Client(control, identity_of(control))
    answer = await proxy.ask("DELETE", "/v1/registration", meshd_node="n1")
    assert answer.status == 204
    assert answer.headers.get(b"content-length") is None
    assert (await proxy.ask("PUT", "/v1/registration", REGISTRATION, meshd_node="n1")).status == 200
