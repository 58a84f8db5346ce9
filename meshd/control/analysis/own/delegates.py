"""VirtualServices that leave routes to others: whether those are there, fit, and are used. Pure.

Source: Istio's ``pilot/pkg/model/virtualservice.go``. There is one level of
delegation, and a route whose delegate cannot be used is taken away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from meshd.api.document import Document, Path
from meshd.api.networking.virtual_service import HTTPRoute, VirtualService
from meshd.api.problem import Problem
from meshd.control.analysis.facts import Facts, told
from meshd.control.analysis.own.remarks import remark
from meshd.control.delegates import merge_matches
from meshd.control.finding import Finding
from meshd.control.hosts import visible

NOT_FOUND: Final = "MD0029"
UNUSABLE: Final = "MD0030"
CONTRADICTS: Final = "MD0031"
UNUSED: Final = "MD0032"

NETWORKING: Final = "networking.istio.io"

Name = tuple[str, str]


def delegates(facts: Facts) -> Iterable[Finding]:
    """Delegates that are missing or cannot be used, and those that nobody names."""
    documents = facts.all(VirtualService)
    known: dict[Name, Document] = {(document.namespace, document.name): document for document in documents}
    named: dict[Name, list[tuple[Document, HTTPRoute]]] = {}
    for document in documents:
        problems: list[Problem] = []
        for index, route in enumerate(document.resource.http):
            if route.delegate is not None:
                name = (route.delegate.namespace or document.namespace, route.delegate.name)
                named.setdefault(name, []).append((document, route))
                problems += _of_root(facts, known, document, name, ("spec", "http", index, "delegate"))
        yield from told(document, problems)
    for document in documents:
        roots = named.get((document.namespace, document.name), [])
        if not document.resource.hosts and (roots or not facts.lost("VirtualService")):
            yield from told(document, _of_delegate(document, roots))


def _of_root(
    facts: Facts, known: dict[Name, Document], document: Document, name: Name, path: Path
) -> Iterator[Problem]:
    text = "/".join(name)
    found = known.get(name)
    if found is None:
        if not facts.has("VirtualService", NETWORKING, *name):
            yield remark(
                NOT_FOUND,
                path,
                f"the delegate VirtualService {text} does not exist: requests of this rule are not routed by it, and "
                "fall to the rules after it; write the delegate, or a route",
            )
        return
    target: VirtualService = found.resource
    if circle := _circle(known, name, (document.namespace, document.name)):
        yield remark(
            UNUSABLE,
            path,
            f"delegates lead in a circle ({' to '.join('/'.join(each) for each in circle)}): none of these routes is "
            "used; a delegate has routes of its own",
        )
    elif target.hosts:
        yield remark(
            UNUSABLE,
            path,
            f"{text} has hosts, so it is no delegate and this rule is not used: take its hosts and gateways away, or "
            "write a route here",
        )
    elif any(route.delegate is not None for route in target.http):
        yield remark(
            UNUSABLE,
            path,
            f"the delegate {text} delegates in its turn: there is one level only, and those of its rules are not "
            "used; name their delegates here",
        )
    elif not visible(target.exportTo, found.namespace, document.namespace):
        yield remark(
            UNUSABLE,
            path,
            f"the delegate {text} is not exported to namespace {document.namespace}, so this rule is not used: "
            f'add "{document.namespace}" to its exportTo',
        )


def _circle(known: dict[Name, Document], start: Name, root: Name) -> tuple[Name, ...]:
    """The way from a root through its delegates back to it; () when there is none."""
    trail: list[tuple[Name, ...]] = [(root, start)]
    seen = {start}
    while trail:
        way = trail.pop()
        if way[-1] == root:
            return way
        document = known.get(way[-1])
        for route in document.resource.http if document is not None else ():
            if route.delegate is not None:
                following = (route.delegate.namespace or way[-1][0], route.delegate.name)
                if following == root or following not in seen:
                    seen.add(following)
                    trail.append((*way, following))
    return ()


def _of_delegate(document: Document, roots: list[tuple[Document, HTTPRoute]]) -> Iterator[Problem]:
    service: VirtualService = document.resource
    if not roots:
        yield remark(
            UNUSED,
            ("metadata", "name"),
            "it has no hosts and no VirtualService delegates to it, so it has no effect: "
            "give it hosts, or name it as a delegate",
            at_value=True,
        )
        return
    for index, route in enumerate(service.http):
        contrary = [root for root, outer in roots if merge_matches(outer.match, route.match) is None]
        if contrary:
            names = ", ".join(sorted(f"{root.namespace}/{root.name}" for root in contrary))
            yield remark(
                CONTRADICTS,
                ("spec", "http", index),
                f"rule {index} asks for something that the delegating rule of {names} does not let through, so it is "
                "left out there: its matches must lie within those of that rule (a longer prefix, more headers)",
            )
