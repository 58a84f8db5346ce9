"""A control plane that is slow, wrong or hostile: the last good configuration stays, and the agent stays calm."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock

from meshd.certs.authority import Subject, make_root
from meshd.http.head import Headers, ResponseHead
from meshd.http.stream import ServerStream
from meshd.snapshot import wire
from meshd.snapshot.protocol import BundleResponse, CertificateResponse, write
from tests.agent.rig import LOCAL_SECRET, AgentRig, Clock, ControlRig, Interfere, mark_of, snapshot

Launch = Callable[..., AgentRig]
Respond = Callable[[ServerStream], Awaitable[None]]


def answer(status: int, body: bytes = b"", *, length: int | None = -1, **headers: str) -> Respond:
    async def respond(stream: ServerStream) -> None:
        block = Headers.of([(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()])
        declared = len(body) if length == -1 else length
        if status == 304:
            declared = None
        await stream.respond(
            ResponseHead(status, block, length=declared), body, end=declared is None or declared == len(body)
        )

    return respond


def at(path: str, respond: Respond) -> Interfere:
    async def interfere(stream: ServerStream) -> bool:
        if not stream.request.path.startswith(path.encode()):
            return False
        while await stream.body.receive():
            pass
        await respond(stream)
        return True

    return interfere


def etag(body: bytes) -> str:
    return f'"{wire.digest(body)}"'


async def cut_short(stream: ServerStream) -> None:
    await stream.respond(ResponseHead(200, length=1000), b"{", end=False)
    stream.abort(ConnectionResetError())


async def drip(stream: ServerStream) -> None:
    await stream.respond(ResponseHead(200, length=1000), b"{", end=False)
    for _ in range(999):
        await trio.sleep(1)
        await stream.send(b" ")


async def without_end(stream: ServerStream) -> None:
    await stream.respond(ResponseHead(200, length=None), b" ", end=False)
    while True:
        await stream.send(b" " * 60_000)


async def hang(stream: ServerStream) -> None:
    await trio.sleep_forever()


ALIEN = wire.encode(snapshot("alien", trust_domain="other.example"))
NOT_JSON = b'{"branches": {'
DEEP = b'{"branches":' + b"[" * 60_000

GARBAGE = {
    "a manifest that is not what its version says": answer(200, b"{}", etag=etag(b"[]")),
    "no version": answer(200, b"{}"),
    "truncated JSON": answer(200, NOT_JSON, etag=etag(NOT_JSON)),
    "another schema": answer(200, b'{"x":1}', etag=etag(b'{"x":1}')),
    "nested too deeply": answer(200, DEEP, etag=etag(DEEP)),
    "cut short": cut_short,
    "one byte a second": drip,
    "no end": without_end,
    "no answer": hang,
    "a size that is declared too large": answer(200, b"", length=10**12),
    "unchanged, but not from what we have": answer(304, etag='"' + "0" * 64 + '"'),
    "an error": answer(500, b"oops"),
    "an error in the protocol's form": answer(503, json.dumps({"code": "x", "message": "y"}).encode()),
    "too many requests": answer(429, b"{}", retry_after="7"),
    "a redirect": answer(307, location="https://elsewhere/v1/config"),
    "a content coding": answer(200, b"{}", etag=etag(b"{}"), content_encoding="gzip"),
    "an empty answer": answer(204),
    "another mesh's configuration": answer(200, ALIEN.manifest, etag=f'"{ALIEN.version}"'),
}


@pytest.mark.parametrize("what", GARBAGE)
async def test_garbage_is_refused_as_a_whole(
    what: str, control: ControlRig, launch: Launch, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    rig = launch(token=control.token(), trust_bundle=control.authority.bundle.pem)
    await trio.sleep(1)
    control.interfere = at("/v1/config", GARBAGE[what])
    # The poll that waits already gets an honest answer; the next ones do not.
    control.publish(reviews=snapshot("two"))
    await trio.sleep(1)
    good = rig.agent.status.version
    control.publish(reviews=snapshot("three"))
    control.requests.clear()
    await trio.sleep(180)
    assert rig.failure is None
    assert [mark_of(each) for each in rig.applied] == ["one", "two"]
    assert rig.agent.status.version == good
    assert rig.agent.status.problem
    assert rig.agent.status.ready, "what it has is good"
    polls = [when for when, path in control.requests if path == "/v1/config"]
    assert 3 <= len(polls) <= 70, "goes on asking, with pauses"
    control.interfere = None
    await trio.sleep(80)
    assert [mark_of(each) for each in rig.applied] == ["one", "two", "three"]
    assert rig.agent.status.problem == ""
    warnings = [record for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) <= 3, "a line for each new problem, not for each try"


@pytest.mark.parametrize(
    "parts",
    [
        answer(200, b"{}\n"),
        answer(200, b"\n" * 1000),
        answer(200, b""),
        answer(404, b'{"code":"no_part","message":"gone"}'),
        cut_short,
    ],
)
async def test_wrong_parts_leave_the_last_good_configuration(
    parts: Respond, control: ControlRig, launch: Launch, autojump_clock: MockClock
) -> None:
    rig = launch(token=control.token(), trust_bundle=control.authority.bundle.pem)
    await trio.sleep(1)
    control.interfere = at("/v1/parts", parts)
    control.publish(reviews=snapshot("two"))
    await trio.sleep(60)
    assert rig.failure is None
    assert [mark_of(each) for each in rig.applied] == ["one"]
    control.interfere = None
    await trio.sleep(60)
    assert [mark_of(each) for each in rig.applied] == ["one", "two"]


async def test_unchanged_without_waiting_does_not_keep_us_busy(
    control: ControlRig, launch: Launch, autojump_clock: MockClock
) -> None:
    rig = launch(token=control.token(), trust_bundle=control.authority.bundle.pem)
    await trio.sleep(1)
    control.interfere = at("/v1/config", answer(304, etag=f'"{rig.agent.status.version}"'))
    await trio.sleep(40)
    control.requests.clear()
    await trio.sleep(100)
    polls = [path for _, path in control.requests if path == "/v1/config"]
    assert 50 <= len(polls) <= 150, "about one a second"
    assert rig.failure is None


async def test_an_older_answer_of_the_same_control_plane_is_refused(
    control: ControlRig, launch: Launch, autojump_clock: MockClock
) -> None:
    rig = launch(token=control.token(), trust_bundle=control.authority.bundle.pem)
    await trio.sleep(1)
    old = control.publisher.current(next(iter(control.nodes)).scope)
    assert old is not None
    control.publish(reviews=snapshot("two"))
    await trio.sleep(1)
    control.interfere = at(
        "/v1/config", answer(200, old.manifest, etag=f'"{old.version}"', meshd_generation="epoch1.1")
    )
    # The poll that waits already gets an honest answer; the next ones do not.
    control.publish(reviews=snapshot("three"))
    await trio.sleep(60)
    assert [mark_of(each) for each in rig.applied] == ["one", "two", "three"]
    assert "older than one that this control plane has given before" in rig.agent.status.problem


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"[]",
        b'{"chain": 1}',
        json.dumps({"chain": "x", "bundle": "y", "trust_domain": "cluster.local", "spiffe_id": "z"}).encode(),
    ],
)
async def test_garbage_for_a_certificate_ends_the_start_with_one_line(
    reply: bytes, control: ControlRig, launch: Launch, autojump_clock: MockClock
) -> None:
    control.interfere = at("/v1/certificates", answer(200, reply))
    rig = launch(token=control.token(), trust_bundle=control.authority.bundle.pem)
    await rig.ended.wait()
    assert str(rig.failure).startswith("cannot join the mesh at control:15012: ")
    assert "\n" not in str(rig.failure)


async def test_a_certificate_for_another_key_is_refused(
    control: ControlRig, launch: Launch, autojump_clock: MockClock
) -> None:
    other = control.authority.make_identity(Subject("spiffe://cluster.local/ns/default/sa/reviews"))
    body = write(CertificateResponse(other.chain_pem, other.bundle_pem, "cluster.local", other.spiffe_id))
    control.interfere = at("/v1/certificates", answer(200, body))
    rig = launch(token=control.token(), trust_bundle=control.authority.bundle.pem)
    await rig.ended.wait()
    assert "the certificate is not for the key it was asked for" in str(rig.failure)


async def test_alien_roots_do_not_replace_ours(
    control: ControlRig, launch: Launch, clock: Clock, autojump_clock: MockClock
) -> None:
    rig = launch(token=control.token(), trust_bundle=control.authority.bundle.pem)
    await trio.sleep(1)
    alien = make_root("cluster.local", clock())
    control.interfere = at("/v1/bundle", answer(200, write(BundleResponse("cluster.local", alien.certificate_pem))))
    (control.state / "roots" / "more.pem").write_text(alien.certificate_pem)
    control.authority.reload()
    control.publisher.wake()
    await trio.sleep(60)
    identity = rig.agent.identity.current
    assert identity is not None
    assert identity.bundle_pem.count("BEGIN") == 1
    assert "another CA" in rig.agent.status.problem
    assert rig.failure is None


async def test_renewal_that_fails_is_tried_again_and_alarms(
    control: ControlRig, launch: Launch, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    rig = launch(token=control.token(), trust_bundle=control.authority.bundle.pem, certificate_ttl=3600)
    await trio.sleep(1)
    first = rig.agent.identity.current
    assert first is not None
    control.interfere = at("/v1/certificates", answer(500))
    await trio.sleep(2000)
    tries = [path for _, path in control.requests].count("/v1/certificates")
    assert 3 < tries < 30
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    await trio.sleep(1000)
    assert [record for record in caplog.records if record.levelname == "ERROR" and record.message == "renewal failed"]
    assert rig.agent.status.certificate == "alarm"
    await trio.sleep(800)
    assert rig.agent.status.certificate == "expired"
    assert not rig.agent.status.ready
    assert rig.failure is None
    control.interfere = None
    await trio.sleep(120)
    assert rig.agent.status.certificate == "expired", "an expired certificate and a used token prove nothing"
    assert "expired" in rig.agent.status.reason or "not valid" in rig.agent.status.reason


async def test_a_local_credential_heals_an_expired_certificate(
    control: ControlRig, launch: Launch, autojump_clock: MockClock
) -> None:
    rig = launch(
        token=LOCAL_SECRET, trust_bundle=control.authority.bundle.pem, service_account="reviews", certificate_ttl=600
    )
    await trio.sleep(1)
    assert rig.agent.status.ready, rig.agent.status
    control.interfere = at("/v1/certificates", answer(500))
    await trio.sleep(700)
    assert rig.agent.status.certificate == "expired"
    control.interfere = None
    await trio.sleep(90)
    assert rig.agent.status.ready


async def test_a_bug_while_reading_does_not_end_the_proxy(
    control: ControlRig, launch: Launch, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = launch(token=control.token(), trust_bundle=control.authority.bundle.pem)
    await trio.sleep(1)

    def broken(*_: object) -> object:
        raise ZeroDivisionError

    monkeypatch.setattr(wire, "decode", broken)
    control.publish(reviews=snapshot("two"))
    await trio.sleep(5)
    assert rig.failure is None
    assert "internal error while reading: ZeroDivisionError" in rig.agent.status.problem
    monkeypatch.undo()
    await trio.sleep(10)
    assert [mark_of(each) for each in rig.applied] == ["one", "two"]


async def test_cut_at_any_moment_it_comes_back(control: ControlRig, launch: Launch, autojump_clock: MockClock) -> None:
    """Every connection is cut after a while that grows by one wire's worth each time."""
    rig = launch(token=control.token(), trust_bundle=control.authority.bundle.pem)
    await trio.sleep(1)
    for round_ in range(30):
        control.publish(reviews=snapshot(f"v{round_}"))
        for _ in range(round_):
            await trio.lowlevel.checkpoint()
        for wire_ in control.network.wires:  # type: ignore[attr-defined]
            wire_.cut()
        await trio.sleep(3)
        assert rig.failure is None
        assert mark_of(rig.applied[-1]) == f"v{round_}"
    assert control.listener.statistics()["connections"] <= 3
