"""The fixture ``mesh``, as a user's own plain pytest has it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
