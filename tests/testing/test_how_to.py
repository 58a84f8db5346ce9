"""docs/how-to/test-a-mesh.md: what it shows is run."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

from meshd.testing import Mesh, run_mesh

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "test-a-mesh.md"


def test_every_test_of_the_page_passes() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    scope: dict[str, Any] = {}
    exec("\n".join(blocks), scope)
    tests = [value for name, value in scope.items() if name.startswith("test_") and inspect.iscoroutinefunction(value)]
    assert len(tests) == 4
    for test in tests:
        given = {"mesh_seed": 1} if "mesh_seed" in inspect.signature(test).parameters else {}

        async def inside(mesh: Mesh, test: Any = test, given: dict[str, int] = given) -> None:
            await test(mesh, **given)

        run_mesh(inside)
