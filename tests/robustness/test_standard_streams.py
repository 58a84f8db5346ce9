"""Commands whose input or output is closed, full, or cannot hold a character: one line, the right code, no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {ports: [{name: étage, port: 80}]}\n"


def meshd(shell: str, folder: Path, **environment: str) -> tuple[int, str]:
    """Run a line of the shell in which ``$M`` is the program: exit code, and all it printed."""
    variables = {**os.environ, "M": f"{sys.executable} -m meshd", **environment}
    done = subprocess.run(["sh", "-c", shell], cwd=folder, env=variables, capture_output=True, timeout=60, check=False)
    printed = (done.stdout + done.stderr).decode()
    assert "Traceback" not in printed
    assert "Exception ignored" not in printed
    return done.returncode, printed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.yaml").write_text(SERVICE)
    return tmp_path


def test_input_that_is_closed(folder: Path) -> None:
    for command in ("analyze -", "explain GET http://x --config -", "explain --config a.yaml --calls -"):
        code, printed = meshd(f"$M {command} <&-", folder)
        assert code == 65
        assert printed == "meshd: standard input is closed: pipe a text in, or name a file\n"


def test_output_that_is_closed(folder: Path) -> None:
    assert meshd("$M analyze a.yaml >&-", folder) == (0, "")
    assert meshd("$M analyze a.yaml >&- 2>&-", folder) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_disk_that_is_full(folder: Path) -> None:
    full = "meshd: the output cannot be written: no space left on device\n"
    assert meshd("$M analyze a.yaml > /dev/full", folder) == (1, full)
    assert meshd("$M analyze a.yaml -o json > /dev/full", folder) == (1, full)


def test_an_encoding_without_the_character(folder: Path) -> None:
    code, printed = meshd("$M analyze a.yaml", folder, PYTHONIOENCODING="ascii")
    assert code == 0
    assert "\\xe9tage" in printed


def test_a_pipe_that_has_enough(folder: Path) -> None:
    many = "---\n".join(SERVICE.replace("name: x", f"name: x{number}") for number in range(2_000))
    (folder / "many.yaml").write_text(many)
    code, printed = meshd("$M analyze many.yaml | head -n 1", folder)
    assert code == 0
    assert printed.count("\n") == 1


def test_pipes_of_the_shell(folder: Path) -> None:
    code, printed = meshd(
        "mkfifo p; (echo 'accessLogFile: /dev/stdout' > p &) ; $M analyze a.yaml --mesh-config p", folder
    )
    assert code == 0
    assert "cannot be read" not in printed
