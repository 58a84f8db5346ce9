"""Istio's Bookinfo as fake services: the page asks details and reviews, reviews v2 and v3 ask ratings."""

from __future__ import annotations

import json
from typing import Any

import attrs
import trio

from meshd.errors import MeshdError
from meshd.testing import Action, Answer, Gateway, Mesh, Received, Service, respond
from tests.corpus import corpus_path

NETWORKING = "istio/samples/bookinfo/networking"
PATIENCE = 10.0
"""Seconds that one application waits for another."""


async def _ask(request: Received, url: str) -> dict[str, Any]:
    """What another service says, with the user's name passed on as applications must."""
    headers = {"end-user": request.headers["end-user"]} if "end-user" in request.headers else {}
    try:
        answer = await request.call("GET", url, headers=headers, timeout=PATIENCE)
    except MeshdError as error:
        return {"status": 0, "error": str(error)}
    said = json.loads(answer.body) if answer.headers.get("content-type") == "application/json" else {}
    return {"status": answer.status, **said}


def _json(said: dict[str, Any]) -> Action:
    return respond(200, json.dumps(said), {"content-type": "application/json"})


def _plain(request: Received) -> Action:
    return _json({"by": request.served_by})


async def _with_ratings(request: Received) -> Action:
    return _json({"by": request.served_by, "ratings": await _ask(request, "http://ratings:9080/ratings/0")})


async def _page(request: Received) -> Action:
    said: dict[str, Any] = {"by": request.served_by}

    async def part(name: str, url: str) -> None:
        said[name] = await _ask(request, url)

    async with trio.open_nursery() as parts:
        parts.start_soon(part, "details", "http://details:9080/details/0")
        parts.start_soon(part, "reviews", "http://reviews:9080/reviews/0")
    return _json(said)


@attrs.frozen
class Page:
    """The page as a browser sees it."""

    answer: Answer
    details: dict[str, Any]
    reviews: dict[str, Any]

    @property
    def ratings(self) -> dict[str, Any] | None:
        """What the reviews got from ratings, None when they asked nobody."""
        found = self.reviews.get("ratings")
        assert found is None or isinstance(found, dict)
        return found


@attrs.frozen
class Bookinfo:
    """The services of the sample, in a mesh."""

    mesh: Mesh
    gateway: Gateway
    productpage: Service
    details: Service
    reviews: Service
    ratings: Service

    async def page(self, user: str = "") -> Page:
        """Look at the page through the gateway."""
        headers = {"end-user": user} if user else {}
        answer = await self.gateway.call("GET", "http://bookinfo.example.com:8080/productpage", headers=headers)
        assert answer.status == 200, answer
        said = json.loads(answer.body)
        return Page(answer, said["details"], said["reviews"])


async def open_bookinfo(mesh: Mesh) -> Bookinfo:
    """Bookinfo with its gateway and its subsets, as Istio's task pages begin."""
    account = "bookinfo-{}".format
    productpage = await mesh.service("productpage", versions={"v1": _page}, account=account("productpage"))
    details = await mesh.service("details", versions={"v1": _plain, "v2": _plain}, account=account("details"))
    reviews = await mesh.service(
        "reviews", versions={"v1": _plain, "v2": _with_ratings, "v3": _with_ratings}, account=account("reviews")
    )
    ratings = await mesh.service("ratings", versions={"v1": _plain}, account=account("ratings"))
    gateway = await mesh.gateway()
    bookinfo = Bookinfo(mesh, gateway, productpage, details, reviews, ratings)
    await mesh.apply(
        *(corpus_path(f"{NETWORKING}/{name}.yaml") for name in ("bookinfo-gateway", "destination-rule-all"))
    )
    return bookinfo
