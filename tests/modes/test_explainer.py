"""``meshd explain`` against a living control plane: both sides of it."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trio
import trio.testing

from meshd.api.document import Document
from meshd.control.issuing import Refusal
from meshd.control.scope import Scope
from meshd.errors import ConfigError, StartError
from meshd.explain.call import QuestionError
from meshd.explain.question import Question
from meshd.explain.world import MOST_SCOPES, World
from meshd.modes import explain_remote
from meshd.modes.explainer import MOST_CALLS, Explainer
from tests.control.documents import documents
from tests.programs import PATIENCE, environment, finished, running

T = TypeVar("T")

MESH = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: reviews}
spec:
  hosts: [reviews.example]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: 10.0.0.3}]
"""
CALL = {"url": "http://reviews.example/", "from": "default/web"}


async def at_once(function: Callable[[], T], /) -> T:
    return function()


def explainer(present: list[tuple[Document, ...]]) -> Explainer:
    return Explainer(lambda: present[-1], at_once)


async def ask(explainer: Explainer, said: object) -> Any:
    return json.loads(await explainer.answer(json.dumps(said).encode()))


async def test_it_answers_from_the_documents_in_force() -> None:
    present = [documents(MESH)]
    asked = explainer(present)
    (answer,) = await ask(asked, {"calls": [CALL]})
    assert answer["served"] is True
    assert answer["text"] is None
    assert answer["explanation"]["endpoints"] == ["10.0.0.3:80"]
    present.append(documents(MESH.replace("10.0.0.3", "10.0.0.4")))
    (answer,) = await ask(asked, {"calls": [CALL], "text": {"verbose": True, "colour": False}})
    assert answer["explanation"]["endpoints"] == ["10.0.0.4:80"]
    assert answer["text"].startswith("GET http://reviews.example/\n\nallow")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ([], "expected"),
        ({"calls": []}, f"1 to {MOST_CALLS} calls"),
        ({"calls": [CALL] * (MOST_CALLS + 1)}, f"1 to {MOST_CALLS} calls"),
        ({"calls": [5]}, "a call needs a url"),
        ({"calls": [{"url": "x", "zzz": 1}]}, "is no option of a call"),
        ({"calls": [CALL], "text": 5}, "expected an object"),
        ({"calls": [{"url": "ftp://x"}]}, "expected http, https or tcp"),
    ],
)
async def test_what_is_no_question(said: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        await ask(explainer([()]), said)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000])
async def test_what_is_no_json(body: bytes) -> None:
    with pytest.raises(ConfigError, match="is no JSON"):
        await explainer([()]).answer(body)


async def test_too_much_at_once(autojump_clock: trio.testing.MockClock) -> None:
    async def slowly(function: Callable[[], T], /) -> T:
        await trio.sleep(1)
        return function()

    asked = Explainer(lambda: documents(MESH), slowly, budget=2.5)
    assert len(await ask(asked, {"calls": [CALL] * 3})) == 3
    with pytest.raises(Refusal, match=r"3 of 9 calls were answered within 2.5 s") as raised:
        await ask(asked, {"calls": [CALL] * 9})
    assert (raised.value.status, raised.value.mend) == (503, "ask for fewer calls at once")


async def test_a_bug_in_an_explanation_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    present: list[tuple[Document, ...]] = [(None,)]  # type: ignore[list-item]
    asked = explainer(present)
    with pytest.raises(Refusal, match="a bug of meshd") as raised:
        await ask(asked, {"calls": [CALL]})
    assert raised.value.status == 500
    assert "this is a bug of meshd" in caplog.text
    present.append(documents(MESH))
    assert len(await ask(asked, {"calls": [CALL]})) == 1


def test_a_world_keeps_few_proxies_of_many_that_are_asked_for() -> None:
    world = World.of(documents(MESH))
    for number in range(MOST_SCOPES + 5):
        assert world.snapshot(Scope(namespace=f"n{number}")).listeners
    assert len(world._snapshots) <= MOST_SCOPES
    assert world.snapshot(Scope(namespace="n0")) == World.of(documents(MESH)).snapshot(Scope(namespace="n0"))


def test_many_calls_go_in_portions() -> None:
    calls = [{"url": f"http://x/{'a' * 5_000}"}] * 25
    found = explain_remote.batches(calls)
    assert [each for batch in found for each in batch] == calls
    assert all(len(json.dumps(batch)) <= explain_remote.BODY + 5_100 for batch in found)
    assert [len(each) for each in explain_remote.batches([{"url": "x"}] * 2_500)] == [1_000, 1_000, 500]


def wait_ready(url: str) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return opener.open(url, timeout=PATIENCE).close()
        except urllib.error.HTTPError:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_a_living_control_plane_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "store"
    store.mkdir()
    (store / "mesh.yaml").write_text(MESH)
    arguments = ("control", "--store", str(store), "--listen", "127.0.0.1:0", "--console", "127.0.0.1:0")
    monkeypatch.setenv("MESHD_RUNTIME_DIR", environment(tmp_path)["MESHD_RUNTIME_DIR"])
    question = Question.of(CALL)
    texts = {"verbose": False, "colour": False}
    with running(tmp_path, *arguments) as control:
        console = control.wait_for(r"console=http://(\S+)")[1]
        api = control.wait_for(r"api=(https://\S+)")[1]
        wait_ready(f"http://{console}/ready")
        for place in ("", api, f"http://{console}"):
            (answer,) = explain_remote.ask(place, (question,), texts)
            assert answer["explanation"]["endpoints"] == ["10.0.0.3:80"]
            assert "mesh.yaml" not in answer["text"]
            assert "allow" in answer["text"]
        with pytest.raises(QuestionError, match="is nobody"):
            explain_remote.ask("", (Question(url="http://x/", sender="a/b/c"),), None)
        with pytest.raises(StartError, match="no control plane of yours on this machine") as raised:
            explain_remote.ask("https://192.0.2.1:15012", (question,), None)
        assert raised.value.exit_code == 69
        code, text = finished(tmp_path, "explain", "GET", "http://reviews.example/", "--from", "default/web")
        assert code == 0, text
        assert "endpoints     10.0.0.3:80" in text
    with pytest.raises(StartError, match="gives no answer") as raised:
        explain_remote.ask(f"http://{console}", (question,), None)
    assert raised.value.exit_code == 69
