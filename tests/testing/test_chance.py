"""Equal seeds give equal runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from trio._core import _run as scheduler

from meshd.testing import Mesh, hang, reset, respond, run_mesh
from meshd.testing.chance import seeded_scheduler, stream_of_chance
from tests.journeys.documents import subsets, virtual_service

SPLIT = """
  - match: [{uri: {prefix: /split}}]
    timeout: 10s
    route:
    - {destination: {host: reviews, subset: v1}, weight: 70}
    - {destination: {host: reviews, subset: v2}, weight: 30}
"""
FAULT = """
  - match: [{uri: {prefix: /fault}}]
    fault:
      delay: {percentage: {value: 30}, fixedDelay: 2s}
      abort: {percentage: {value: 20}, httpStatus: 418}
    route: [{destination: {host: reviews}}]
"""
RETRIES = """
  - timeout: 5s
    retries: {attempts: 3, perTryTimeout: 1s, retryOn: "5xx,reset"}
    route: [{destination: {host: reviews}}]
"""


async def story(mesh: Mesh) -> list[object]:
    """Everything that is left to chance, in one run: weights, faults, balancing, back-off, jitter, the order of tasks."""
    services = await mesh.service(
        "reviews", versions={"v1": [503, reset(), respond(200, delay=0.5)], "v2": [hang(), 200, 503, respond()]}
    )
    page = await mesh.service("productpage")
    await mesh.apply(
        subsets("reviews", "v1", "v2"),
        virtual_service(SPLIT + FAULT.replace("host: reviews", "host: reviews, subset: v1") + RETRIES),
    )
    seen: list[object] = []

    async def call(path: str) -> None:
        answer = await mesh.call("productpage", "GET", f"http://reviews:9080{path}")
        seen.append(
            (round(mesh.now(), 9), path, answer.status, answer.served_by, answer.attempts, answer.flags, answer.took)
        )

    async with trio.open_nursery() as calls:
        for _ in range(6):
            calls.start_soon(call, "/split")
            calls.start_soon(call, "/")
            calls.start_soon(call, "/fault")
    await services["v1"].proxy.restart()
    await mesh.sleep(30)
    for _ in range(4):
        await call("/split")
    return [*seen, page.sidecar.log, [each.log for each in mesh.proxies], round(mesh.now(), 9)]


async def short_story(mesh: Mesh) -> list[object]:
    """Faults, retries and their pauses, of one page and one service."""
    await mesh.service("reviews", [503, reset(), respond(200, delay=0.5), respond(200, delay=1.5), respond()])
    page = await mesh.service("productpage")
    await mesh.apply(virtual_service(FAULT + RETRIES))
    async with trio.open_nursery() as calls:
        for path in ("/", "/fault") * 4:
            calls.start_soon(mesh.call, "productpage", f"GET http://reviews:9080{path}")
    return [page.sidecar.log, mesh.services["reviews"].sidecar.log, round(mesh.now(), 9)]


def test_equal_seeds_are_equal_runs() -> None:
    first = run_mesh(story, seed=5)
    assert run_mesh(story, seed=5) == first
    assert run_mesh(story, seed=5) == first
    assert run_mesh(story, seed=6) != first


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_two_hundred_runs_are_equal() -> None:
    first = run_mesh(short_story, seed=5)
    for run in range(199):
        assert run_mesh(short_story, seed=5) == first, f"run {run + 2}"


@pytest.mark.slow
def test_runs_in_other_processes_are_equal() -> None:
    code = "from meshd.testing import run_mesh; from tests.testing.test_chance import story; print(run_mesh(story, seed=5))"
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "77")
    }
    assert len(told) == 1


def test_the_scheduler_is_given_back_as_it_was() -> None:
    before = scheduler._ALLOW_DETERMINISTIC_SCHEDULING, scheduler._r.getstate()
    with seeded_scheduler(1):
        assert scheduler._ALLOW_DETERMINISTIC_SCHEDULING is True
        scheduler._r.random()
    assert (scheduler._ALLOW_DETERMINISTIC_SCHEDULING, scheduler._r.getstate()) == before


def test_every_part_has_its_own_luck() -> None:
    assert stream_of_chance(1, "a").random() == stream_of_chance(1, "a").random()
    assert stream_of_chance(1, "a").random() != stream_of_chance(1, "b").random()
    assert stream_of_chance(1, "a").random() != stream_of_chance(2, "a").random()
