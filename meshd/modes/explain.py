"""``meshd explain``: where its documents come from, and the calls of a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from meshd.api.problem import FIELD_NOT_SUPPORTED, FIELD_WITHOUT_EFFECT, KIND_NOT_SUPPORTED
from meshd.api.yaml import parse
from meshd.control.analysis.own.policy_scopes import selector_of
from meshd.control.finding import Finding
from meshd.control.scope import Scope
from meshd.control.workloads import selects
from meshd.errors import StartError
from meshd.explain.call import QuestionError
from meshd.explain.explain import Explanation
from meshd.explain.question import Question
from meshd.explain.world import World
from meshd.modes.offline import load
from meshd.modes.texts import STDIN, read_file, standard_input

UNUSABLE = 65
MOST_CALLS = 10_000
WITHOUT_EFFECT = frozenset({FIELD_NOT_SUPPORTED, KIND_NOT_SUPPORTED, FIELD_WITHOUT_EFFECT})
"""Findings about what is written and does nothing: fields and kinds."""

WHO = frozenset({"from", "through", "mode"})


def world_of(
    paths: Sequence[Path], mesh_config: Path | None, mesh_networks: Path | None
) -> tuple[World, tuple[Finding, ...]]:
    """What files hold, and what was found wrong with it.

    Raises:
        StartError: there is nothing that could be used (exit code 65).
    """
    stdin = standard_input() if any(str(path) == STDIN for path in paths) else None
    loaded = load(paths, mesh_config, mesh_networks, stdin)
    if not loaded.documents and loaded.errors:
        raise StartError("; ".join(str(finding) for finding in loaded.errors[:5]), exit_code=UNUSABLE)
    return World.of(loaded.documents), loaded.findings


def concerning(findings: Iterable[Finding], explanation: Explanation, world: World) -> list[Finding]:
    """What has no effect and would have a part in an explanation, if it had: the configuration means more than is done.

    That is what stands in documents that the explanation speaks of, and whole
    documents for its workloads.
    """
    named = {step.resource for hop in explanation.hops for step in hop.decision.steps}
    named |= {hop.decision.mtls.resource for hop in explanation.hops}
    scopes = [hop.view.scope for hop in explanation.hops]
    return [
        each
        for each in findings
        if (each.code in WITHOUT_EFFECT and each.resource and each.resource in named)
        or (each.code == KIND_NOT_SUPPORTED and any(_is_for(world, each.resource, scope) for scope in scopes))
    ]


def _is_for(world: World, resource: str, scope: Scope) -> bool:
    """Whether a document selects a proxy's workload, in its namespace or from the root namespace."""
    document = world.places.document(resource)
    selector = selector_of(document) if document is not None else None
    return (
        document is not None
        and selector is not None
        and document.namespace in {scope.namespace, world.mesh.root_namespace}
        and selects(selector.items(), dict(scope.labels))
    )


def question(said: Mapping[str, Any]) -> Question:
    """A question from flags.

    Raises:
        QuestionError: it is none.
    """
    found = Question.of(said)
    found.call()
    return found


def questions(file: Path, flags: Mapping[str, Any]) -> tuple[Question, ...]:
    """The calls of a file: a YAML list of mappings with the flags' names.

    Args:
        file: ``-`` is standard input.
        flags: What holds for every call that does not say otherwise.

    Raises:
        QuestionError: it is none; says which call.
    """
    try:
        text = standard_input() if str(file) == STDIN else read_file(file)
    except OSError as error:
        raise QuestionError(f"{file}: cannot be read: {(error.strerror or str(error)).lower()}") from error
    parsed = parse(text)
    for mistake in parsed.mistakes:
        raise QuestionError(f"{file}:{mistake.line}:{mistake.column}: {mistake}")
    found: Any = parsed.trees[0].value if len(parsed.trees) == 1 else None
    if not isinstance(found, list) or not found:
        raise QuestionError(f"{file}: expected a list of calls, each with a url")
    if len(found) > MOST_CALLS:
        raise QuestionError(f"{file}: {len(found)} calls; at most {MOST_CALLS} at once")
    return tuple(_of_file(each, flags, f"{file}: call {number}") for number, each in enumerate(found))


def _of_file(said: Any, flags: Mapping[str, Any], where: str) -> Question:
    if not isinstance(said, dict):
        raise QuestionError(f"{where}: expected a mapping with a url, found {said!r}")
    # Who decides is one thing: a call that says so says all of it.
    own = WHO.intersection(said)
    kept = {key: value for key, value in flags.items() if not (own and key in WHO)}
    try:
        return question({**kept, **said})
    except QuestionError as error:
        raise QuestionError(f"{where}: {error.message}") from error
