"""``meshd explain --control``: the questions put to a living control plane.

Over the control API with the credential of this user's own control plane, or
over its console.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import trio

from meshd.agent.channel import Channel, ControlError, Exchange, Trust
from meshd.agent.config import AgentLimits
from meshd.agent.config import World as AgentWorld
from meshd.certs.contexts import TlsContexts
from meshd.certs.request import ChildKeyMaker
from meshd.control import local
from meshd.errors import ConfigError, MeshdError, StartError
from meshd.explain.call import QuestionError
from meshd.explain.question import Question
from meshd.http.client import HttpClient
from meshd.modes.feeds import Nobody
from meshd.modes.process import World, expected_error, open_world
from meshd.net.address import Address
from meshd.net.resolver import SystemResolver
from meshd.snapshot.protocol import ErrorBody
from meshd.snapshot.protocol import read as read_message

UNREACHABLE = 69
TIMEOUT = 30.0
"""Seconds for an answer."""
MOST_BODY = 64 * 1024 * 1024
BODY = 48 * 1024
"""Bytes of one request's calls; the API takes 64 KiB."""
MOST_CALLS = 1_000
"""In one request."""

Post = Callable[[bytes], Awaitable[bytes]]


def ask(control: str, questions: Sequence[Question], texts: dict[str, bool] | None) -> list[dict[str, Any]]:
    """Ask a living control plane.

    Args:
        control: ``https://HOST:15012`` (its API), ``http://HOST:15014`` (its console), or ""
            for the control plane of this user on this machine.
        questions: What to ask.
        texts: How the stories are wanted, None for data only.

    Raises:
        StartError: it does not answer (exit code 69).
        QuestionError: it does not take the questions.
    """
    try:
        return trio.run(_ask, control, questions, texts)
    except BaseExceptionGroup as group:
        error = expected_error(group)
        if error is None:
            raise
        raise _failed(control, error) from None
    except StartError:
        raise
    except MeshdError as error:
        raise _failed(control, error) from error


def _failed(control: str, error: MeshdError) -> MeshdError:
    if isinstance(error, StartError):
        return error
    if isinstance(error, ControlError) and error.status == 400:
        return QuestionError(str(error))
    where = control or "this machine"
    return StartError(f"the control plane at {where} gives no answer: {error}", exit_code=UNREACHABLE)


async def _ask(control: str, questions: Sequence[Question], texts: dict[str, bool] | None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    async with open_world() as world:
        post, close = _console(control, world) if control.startswith("http://") else _api(control, world)
        try:
            for batch in batches([question.to_data() for question in questions]):
                body = json.dumps({"calls": batch, "text": texts}).encode()
                found += json.loads(await post(body))
        finally:
            close()
    return found


def batches(calls: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Calls in portions that one request can hold."""
    found: list[list[dict[str, Any]]] = [[]]
    size = 0
    for call in calls:
        length = len(json.dumps(call)) + 2
        if found[-1] and (size + length > BODY or len(found[-1]) >= MOST_CALLS):
            found.append([])
            size = 0
        found[-1].append(call)
        size += length
    return found


def _console(control: str, world: World) -> tuple[Post, Callable[[], None]]:
    parts = urlsplit(control)
    client = HttpClient(world.network, SystemResolver(), world.timers)

    async def post(body: bytes) -> bytes:
        url = f"http://{parts.netloc}/debug/explain"
        answer = await client.request("POST", url, timeout=TIMEOUT, body=body, max_body=MOST_BODY)
        if answer.status == 200:
            return answer.body
        raise ControlError(answer.status, _message(answer.body))

    return post, client.close


def _message(body: bytes) -> ErrorBody:
    try:
        return read_message(ErrorBody, body, lenient=True)
    except ConfigError:
        return ErrorBody("unknown", "what is there is no control plane's console")


def _api(control: str, world: World) -> tuple[Post, Callable[[], None]]:
    found = local.find(local.runtime_directory(os.environ))
    if found is None or (control and _place(control) != _place(found.url)):
        raise StartError(
            f"{control or 'there'} is no control plane of yours on this machine: explanations are for its own user; "
            "run this there, name its console with --control http://127.0.0.1:15014, or ask files with --config PATH",
            exit_code=UNREACHABLE,
        )
    outside = AgentWorld(world.network, world.resolver, world.rng, ChildKeyMaker(), world.wall_clock)
    contexts = TlsContexts(Nobody(), wall_clock=world.wall_clock)
    trust = Trust(found.bundle, found.trust_domain)
    channel = Channel(_place(found.url), outside, contexts, AgentLimits(), trust=lambda: trust)
    credential = (b"authorization", f"Bearer {found.secret}".encode())

    async def post(body: bytes) -> bytes:
        exchange = Exchange(b"POST", "/v1/explain", body, (credential,), MOST_BODY, TIMEOUT)
        return (await channel.request(exchange)).body

    return post, channel.close


def _place(url: str) -> Address:
    """Host and port of a URL; every way to say "this machine" is one."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return Address("127.0.0.1" if host in {"localhost", "::1", ""} else host, parts.port or 15012)
