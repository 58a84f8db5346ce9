"""What the generators of docs/reference share: write a page, or say whether it is current.

python -m tools.NAME_reference PAGE          write it
python -m tools.NAME_reference --check PAGE  exit 1 when it is not current
"""

from __future__ import annotations

import sys
from pathlib import Path


def write_or_check(text: str) -> int:
    """Do what the command line asks for with a page's text; the exit code."""
    *flags, target = sys.argv[1:]
    path = Path(target)
    if "--check" not in flags:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return 0
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return 0
    print(f"{path} is not current: run `make docs-reference`", file=sys.stderr)
    return 1
