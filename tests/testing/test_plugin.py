"""The fixture ``mesh``, as a user's own plain pytest has it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.journeys.documents import virtual_service

ROOT = Path(__file__).parents[2]

TESTS = """
import pytest

from meshd.testing import Mesh, respond


async def test_it_is_open(mesh):
    await mesh.service("reviews")
    await mesh.service("productpage")
    answer = await mesh.call("productpage", "GET", "http://reviews:9080/")
    assert (answer.status, answer.body, answer.served_by) == (200, b"reviews", "reviews")


class TestMethods:
    async def test_methods_too(self, mesh, tmp_path):
        assert (isinstance(mesh, Mesh), mesh.now(), tmp_path.is_dir()) == (True, mesh.now(), True)


@pytest.mark.parametrize("mesh_seed", [3, 4])
async def test_the_seed_is_a_fixture(mesh, mesh_seed):
    assert mesh.seed == mesh_seed


async def test_an_assertion_is_to_be_read(mesh):
    left = 1
    assert left == 2, "as it is written"


def test_others_are_left_alone():
    pass
"""


def run(directory: Path, *more: str) -> str:
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "meshd.testing.plugin", "-p", "no:cacheprovider", "-rA", *more],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "150"},
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout + result.stderr


MISUSED = """
import pytest


def test_a_plain_test_is_told_what_to_write(mesh):
    mesh.service("reviews")


async def test_a_call_without_await(mesh):
    mesh.service("reviews")
    mesh.call("reviews", "GET http://reviews/")


def test_a_plain_test_can_run_one(mesh):
    async def inside(mesh):
        mesh.load("direct.yaml")
        mesh.service("reviews")
        return (await mesh.call("reviews", "GET http://reviews/")).status

    assert mesh.run(inside) == 202


@pytest.fixture
def mesh_options():
    return {"trust_domain": "shop.example"}


async def test_options(mesh):
    reviews = await mesh.service("reviews")
    assert reviews.sidecar.identity.spiffe_id == "spiffe://shop.example/ns/default/sa/reviews"
"""

OWN = """
import pytest


@pytest.fixture
def mesh():
    return "mine"


def test_a_fixture_of_ones_own_wins(mesh):
    assert mesh == "mine"
"""

MIXED = """
async def test_it(mesh, nursery):
    pass
"""


def test_in_a_plain_pytest(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_mine.py").write_text(TESTS)
    (tmp_path / "test_own.py").write_text(OWN)
    said = run(tmp_path, "-p", "no:trio")
    assert "1 failed, 6 passed" in said, said
    assert "AssertionError: as it is written" in said
    assert "ExceptionGroup" not in said


def test_misuse_is_explained(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "test_misused.py").write_text(MISUSED)
    (tmp_path / "sub" / "direct.yaml").write_text(virtual_service("  - directResponse: {status: 202}"))
    said = run(tmp_path, "-p", "no:trio")
    assert "2 failed, 2 passed" in said, said
    assert "write `async def test_...(mesh)`, or in a plain test mesh.run(an_async_function)" in said
    assert "a call was made and never awaited, so nothing happened: write await; " in said
    assert "test_misused.py:11: mesh.call(..., 'GET http://reviews/')" in said


@pytest.mark.slow
def test_beside_anyio(tmp_path: Path) -> None:
    pytest.importorskip("anyio")
    (tmp_path / "pytest.ini").write_text("[pytest]\nanyio_mode = auto\n")
    (tmp_path / "test_mine.py").write_text(TESTS)
    # Its plugin plays every asynchronous test once for each of its backends; ours do not care.
    said = run(tmp_path, "-p", "no:trio")
    assert "2 failed, 9 passed" in said, said
    assert "ExceptionGroup" not in said


@pytest.mark.slow
def test_in_parallel(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_mine.py").write_text(TESTS)
    said = run(tmp_path, "-p", "no:trio", "-n", "2")
    assert "1 failed, 5 passed" in said, said


@pytest.mark.slow
def test_beside_pytest_trio(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\ntrio_mode = true\n")
    (tmp_path / "test_mine.py").write_text(TESTS)
    (tmp_path / "test_own.py").write_text(OWN)
    (tmp_path / "test_mixed.py").write_text(MIXED)
    said = run(tmp_path)
    assert "2 failed, 6 passed" in said, said
    assert "pytest-trio's fixtures cannot be used together with `mesh`: nursery" in said
    assert "AssertionError: as it is written" in said
