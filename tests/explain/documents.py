"""A small mesh for explanations."""

from __future__ import annotations

from meshd.explain.explain import Explanation, explain
from meshd.explain.question import Question
from meshd.explain.world import World
from tests.control.documents import documents

SERVICES = """
apiVersion: v1
kind: Service
metadata: {name: reviews}
spec:
  selector: {app: reviews}
  ports: [{name: http, port: 80, targetPort: web}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: reviews-v1}
spec:
  template:
    metadata: {labels: {app: reviews, version: v1}}
    spec:
      serviceAccountName: reader
      containers: [{name: app, ports: [{name: web, containerPort: 9080}]}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: reviews-v2}
spec:
  template:
    metadata: {labels: {app: reviews, version: v2}}
    spec:
      serviceAccountName: reader
      containers: [{name: app, ports: [{name: web, containerPort: 9080}]}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  template:
    metadata: {labels: {app: web}}
    spec: {}
"""


def world(*texts: str, complete: bool = False) -> World:
    """Documents as explanations look them up."""
    return World.of(documents("\n---\n".join((SERVICES, *texts))), complete=complete)


def place(needle: str, text: str) -> str:
    """``file:line`` of the first line of ``told``'s documents that holds a text."""
    lines = f"{SERVICES}\n---\n{text}".splitlines()
    return f"test.yaml:{next(number for number, line in enumerate(lines, 1) if needle in line)}"


def told(text: str = "", url: str = "http://reviews/", /, **said: str | list[str]) -> Explanation:
    """What happens to a call in the small mesh with more documents."""
    data = {key.rstrip("_").replace("_", "-"): value for key, value in said.items()}
    return explain(world(*([text] if text else [])), Question.of({"url": url, **data}))
