"""Documents for tests: from YAML, as a user writes them."""

from __future__ import annotations

import textwrap
from pathlib import Path

from meshd.api.document import Document
from meshd.api.load import Loader
from meshd.api.problem import Level

LOADER = Loader()


def documents(text: str) -> tuple[Document, ...]:
    """The documents of a YAML text, which must have no errors."""
    found = []
    for loaded in LOADER.load(textwrap.dedent(text), "test.yaml"):
        errors = [problem for problem in loaded.problems if problem.level is Level.ERROR]
        assert not errors, errors
        if loaded.document is not None:
            found.append(loaded.document)
    return tuple(found)


def files(*paths: Path) -> tuple[Document, ...]:
    """The documents of several files."""
    return tuple(document for path in paths for document in documents(path.read_text()))
