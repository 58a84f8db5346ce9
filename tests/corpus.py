"""The Istio corpus, when it lies beside the project (or where ``MESHD_CORPUS`` says)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("MESHD_CORPUS") or Path(__file__).parents[2] / "shared" / "corpus")


def corpus_path(relative: str) -> Path:
    """A file or folder of the corpus; skips the test when it is absent."""
    path = ROOT / relative
    if not path.exists():
        pytest.skip(f"the Istio corpus is not here ({relative}); set MESHD_CORPUS to its folder")
    return path
