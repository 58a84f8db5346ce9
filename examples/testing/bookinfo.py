"""Bookinfo on a mesh inside a test: the page asks details and reviews, reviews 2 and 3 ask ratings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from meshd.errors import MeshdError
from meshd.testing import Action, Answer, Mesh, Received, respond

HERE = Path(__file__).parent
STORE = HERE.parents[1] / "meshd" / "modes" / "demo" / "store"
ROUTES = HERE / "routes"
GATEWAY = "istio-ingressgateway"
PATIENCE = 3.0
"""Seconds that one application waits for another."""


def add_bookinfo(mesh: Mesh, *routes: str) -> None:
    """Load Bookinfo's own configuration and some routes, and let its services join."""
    mesh.load(STORE, *(ROUTES / f"{name}.yaml" for name in routes))
    mesh.service("productpage", v1=page, account="bookinfo-productpage")
    mesh.service("details", v1=alone, account="bookinfo-details")
    mesh.service("reviews", v1=alone, v2=with_ratings, v3=with_ratings, account="bookinfo-reviews")
    mesh.service("ratings", v1=alone, account="bookinfo-ratings")
    mesh.gateway(GATEWAY)


async def see_page(mesh: Mesh, user: str = "") -> tuple[Answer, dict[str, Any]]:
    """The page as a browser gets it, and what it says."""
    headers = {"end-user": user} if user else {}
    answer = await mesh.call(GATEWAY, "GET http://bookinfo.example.com:8080/productpage", headers=headers)
    return answer, answer.expect(status=200).json()


def alone(request: Received) -> Action:
    """An application that asks nobody."""
    return said(by=request.served_by)


async def with_ratings(request: Received) -> Action:
    """Reviews with stars."""
    return said(by=request.served_by, ratings=await asked(request, "GET http://ratings:9080/ratings/0"))


async def page(request: Received) -> Action:
    """The page: it goes without a part that is not there in time."""
    return said(
        by=request.served_by,
        details=await asked(request, "GET http://details:9080/details/0"),
        reviews=await asked(request, "GET http://reviews:9080/reviews/0"),
    )


async def asked(request: Received, line: str) -> dict[str, Any]:
    """What another service says. The user's name goes along, as applications must see to."""
    headers = {"end-user": request.headers["end-user"]} if "end-user" in request.headers else {}
    try:
        answer = await request.call(line, headers=headers, timeout=PATIENCE)
    except MeshdError:
        return {"status": 0}
    return {"status": answer.status, **(answer.json() if answer.status == 200 else {})}


def said(**content: Any) -> Action:
    """JSON."""
    return respond(200, json.dumps(content), {"content-type": "application/json"})
