"""The control plane's side of ``meshd explain``: questions answered from the documents that are in force.

Registrations of sidecars are among them. The work is done in a thread, beside
the loop.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from functools import partial

import attrs
import trio

from meshd.api.document import Document
from meshd.control.issuing import Refusal
from meshd.errors import ConfigError, MeshdError
from meshd.explain.explain import explain
from meshd.explain.question import Question
from meshd.explain.text import story
from meshd.explain.world import World
from meshd.modes.process import Work

logger = logging.getLogger(__name__)

MOST_CALLS = 1_000
"""In one request."""
BUDGET = 10.0
"""Seconds that the answers of one request may take: whoever asks for many proxies of a large mesh asks in portions."""


@attrs.define(eq=False)
class Explainer:
    """The control plane's side. One question at a time; what was compiled for the present documents is kept."""

    documents: Callable[[], tuple[Document, ...]]
    work: Work
    budget: float = BUDGET
    # The whole mutable state: what the last answer was made from, and who is being answered.
    _world: World | None = attrs.field(default=None, init=False)
    _turn: trio.Lock = attrs.field(factory=trio.Lock, init=False)

    async def answer(self, body: bytes) -> bytes:
        """The answer to a request's body.

        Raises:
            ConfigError: it asks nothing that can be answered.
            Refusal: it asks too much at once, or for what meshd fails at.
        """
        questions, texts = read(body)
        async with self._turn:
            try:
                return await self._answers(questions, texts)
            except MeshdError:
                raise
            except Exception as error:
                # A bug in an explanation must not end what serves the mesh.
                logger.exception("a question could not be answered: this is a bug of meshd")
                raise Refusal(500, "bug", "this cannot be explained: a bug of meshd; its log says more") from error

    async def _answers(self, questions: tuple[Question, ...], texts: dict[str, bool] | None) -> bytes:
        documents = self.documents()
        world = self._world
        if world is None or world.documents is not documents:
            world = self._world = await self.work(partial(World.of, documents, complete=True))
        found: list[bytes] = []
        deadline = trio.current_time() + self.budget
        for question in questions:
            if found and trio.current_time() > deadline:
                answered = f"{len(found)} of {len(questions)} calls were answered within {self.budget:g} s"
                raise Refusal(503, "too_expensive", answered, mend="ask for fewer calls at once")
            found.append(await self.work(partial(_answered, world, question, texts)))
        return b"[" + b", ".join(found) + b"]"


def _answered(world: World, question: Question, texts: dict[str, bool] | None) -> bytes:
    explanation = explain(world, question)
    text = None if texts is None else story(explanation, **texts)
    return json.dumps({"served": explanation.served, "explanation": explanation.to_json(), "text": text}).encode()


def read(body: bytes) -> tuple[tuple[Question, ...], dict[str, bool] | None]:
    """The questions of a request, and how their text is wanted (None: not at all).

    Raises:
        ConfigError: which call is none, and why.
    """
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"the body is no JSON: {error}") from error
    calls = asked.get("calls") if isinstance(asked, dict) else None
    if not isinstance(calls, list) or not 0 < len(calls) <= MOST_CALLS:
        raise ConfigError(f'expected {{"calls": [...]}} with 1 to {MOST_CALLS} calls')
    wanted = asked.get("text")
    if wanted is None:
        texts = None
    elif isinstance(wanted, dict):
        texts = {name: wanted.get(name) is True for name in ("verbose", "colour")}
    else:
        raise ConfigError('"text": expected an object')
    return tuple(Question.of(each if isinstance(each, dict) else {}) for each in calls), texts
