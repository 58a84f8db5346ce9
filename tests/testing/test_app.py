"""Fake services do as they are told."""

from __future__ import annotations

import pytest

from meshd.errors import DeadlineExceeded, MeshdError
from meshd.testing import Mesh, Received, Service, echo, hang, reset, respond
from meshd.testing.app import action_of


async def pair(mesh: Mesh, script: object) -> Service:
    await mesh.service("caller")
    return await mesh.service("app", script)  # type: ignore[arg-type]


async def get(mesh: Mesh, **more: object) -> tuple[int, bytes]:
    answer = await mesh.call("caller", "GET", "http://app:9080/x?y=1", **more)  # type: ignore[arg-type]
    return answer.status, answer.body


async def test_a_script_is_played_and_its_last_line_repeated(mesh: Mesh) -> None:
    app = await pair(mesh, [404, b"bytes", "text", respond(201, b"all", {"X-One": "1"})])
    assert [await get(mesh) for _ in range(5)] == [
        (404, b"app"),
        (200, b"bytes"),
        (200, b"text"),
        (201, b"all"),
        (201, b"all"),
    ]
    app.behave(respond(headers=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]))
    answer = await mesh.call("caller", "GET", "http://app:9080/")
    assert answer.headers.get_all("set-cookie") == ("a=1", "b=2")
    assert answer.headers["Set-Cookie"] == "a=1, b=2"


async def test_delay_echo_and_trailers(mesh: Mesh) -> None:
    app = await pair(mesh, [respond(200, b"late", delay=1.5), echo(), respond(200, b"then", trailers={"x-sum": "1"})])
    answer = await mesh.call("caller", "GET", "http://app:9080/")
    assert (answer.body, answer.took) == (b"late", 1.5)
    answer = await mesh.call("caller", "PUT", "http://app:9080/x?y=1", body=b"mine")
    assert (answer.body, answer.headers["x-echo-method"], answer.headers["x-echo-path"]) == (b"mine", "PUT", "/x?y=1")
    assert (await get(mesh)) == (200, b"then")
    assert [(each.method, each.path, each.body, each.host) for each in app.requests[:2]] == [
        ("GET", "/", b"", "app:9080"),
        ("PUT", "/x?y=1", b"mine", "app:9080"),
    ]


async def test_hang_and_reset(mesh: Mesh) -> None:
    app = await pair(mesh, hang())
    with pytest.raises(DeadlineExceeded, match="http://app:9080/x"):
        await get(mesh, timeout=3)
    app.behave(reset())
    assert (await get(mesh))[0] == 503
    await app.app.stop()
    assert (await get(mesh))[0] == 503


async def test_functions_decide_and_call_others(mesh: Mesh) -> None:
    await mesh.service("caller")
    await mesh.service("back", b"from the back")

    def plain(request: Received) -> object:
        return 404 if request.path == "/missing" else request.headers.get("x-say", "nothing")

    async def through(request: Received) -> object:
        answer = await request.call("GET", "http://back:9080/")
        return respond(answer.status, b"front, " + answer.body)

    await mesh.service("app", plain)
    await mesh.service("front", through)
    assert (await mesh.call("caller", "GET", "http://app:9080/missing")).status == 404
    assert (await mesh.call("caller", "GET", "http://app:9080/", headers={"X-Say": "hello"})).text == "hello"
    assert (await mesh.call("caller", "GET", "http://front:9080/")).text == "front, from the back"


async def test_a_bug_in_a_behaviour_is_a_500(mesh: Mesh, caplog: pytest.LogCaptureFixture) -> None:
    def broken(request: Received) -> object:
        raise ZeroDivisionError

    await pair(mesh, broken)
    assert (await get(mesh))[0] == 500
    assert "a handler failed" in caplog.text


def test_what_is_no_behaviour_is_refused() -> None:
    with pytest.raises(TypeError, match="does not say how to answer"):
        action_of(None)  # type: ignore[arg-type]


async def test_what_is_no_service_or_url_is_told(mesh: Mesh) -> None:
    await mesh.service("caller")
    with pytest.raises(KeyError, match="no service or workload 'nobody'"):
        await mesh.call("nobody", "GET", "http://caller:9080/")
    with pytest.raises(ValueError, match="use http://"):
        await mesh.call("caller", "GET", "https://caller:9080/")
    with pytest.raises(ValueError, match="is no URL"):
        await mesh.call("caller", "GET", "caller:9080")
    with pytest.raises(TypeError, match="empty script"):
        await mesh.service("silent", [])
    with pytest.raises(MeshdError):
        await mesh.outsider().call("GET", "http://10.9.9.9:80/")
