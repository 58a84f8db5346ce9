"""The key child: a real process."""

from __future__ import annotations

import subprocess
import sys

import pytest
import trio

from meshd.certs import request, x509
from meshd.certs.request import ChildKeyMaker
from meshd.errors import IdentityError
from tests.certs.pki import REVIEWS, make_ca

ECHO = (sys.executable, "-c", "import sys; [print(line, end='', flush=True) for line in sys.stdin]")


async def test_one_child_makes_describes_and_accepts() -> None:
    ca = make_ca()
    theirs = ca.issue(REVIEWS)
    async with ChildKeyMaker().session() as keys:
        made = await keys.make()
        assert "BEGIN PRIVATE KEY" in made.key_pem
        assert "BEGIN CERTIFICATE REQUEST" in made.csr_pem
        assert await keys.describe(ca.pem) == x509.describe(ca.pem)
        facts = await keys.accept(theirs.key_pem, theirs.chain_pem, ca.pem)
        assert facts.spiffe_id == REVIEWS
        with pytest.raises(IdentityError, match="another CA"):
            await keys.accept(theirs.key_pem, theirs.chain_pem, make_ca(name="other").pem)
        with pytest.raises(IdentityError, match="no certificate found"):
            await keys.describe("nonsense\nwith a line")
        process = keys._process  # type: ignore[attr-defined]
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (("/does/not/exist",), "cannot be started: No such file"),
        ((sys.executable, "-c", "raise SystemExit('broken installation')"), "has ended: broken installation"),
        ((sys.executable, "-c", "input(); print('not json')"), "gave no answer"),
        ((sys.executable, "-c", "input(); print('[]')"), "gave no answer"),
        (ECHO, "gave no key"),
    ],
)
async def test_a_child_that_fails(command: tuple[str, ...], why: str) -> None:
    async with ChildKeyMaker(command).session() as keys:
        with pytest.raises(IdentityError, match=why):
            await keys.make()


async def test_a_child_that_hangs_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request, "CHILD_DEADLINE", 0.05)
    monkeypatch.setattr(request, "CHILD_FAREWELL", 0.05)
    async with ChildKeyMaker((sys.executable, "-c", "import time; time.sleep(100)")).session() as keys:
        with pytest.raises(IdentityError, match="did not answer within"):
            await keys.make()
        process = keys._process  # type: ignore[attr-defined]
    assert process.returncode == -9


async def test_cancelling_leaves_no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request, "CHILD_FAREWELL", 0.05)
    with trio.move_on_after(0.1):
        async with ChildKeyMaker((sys.executable, "-c", "import time; time.sleep(100)")).session() as keys:
            await keys.make()
    assert keys._process is None  # type: ignore[attr-defined]


def test_the_asking_side_loads_no_crypto_library() -> None:
    code = "import sys, meshd.certs.request, meshd.agent; sys.exit('cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_child_loads_no_trio() -> None:
    code = "import sys, meshd.certs.x509; sys.exit('trio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_questions_that_make_no_sense() -> None:
    for question in ({}, {"do": "describe"}, {"do": "describe", "pem": 7}, {"do": "dance"}):
        assert set(x509.answer(question)) == {"refused"}
