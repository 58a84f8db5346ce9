"""Istio's task "Traffic Shifting": https://istio.io/latest/docs/tasks/traffic-management/traffic-shifting/"""

from collections import Counter

import pytest
from bookinfo import ROUTES, add_bookinfo, see_page

from meshd.testing import Mesh


@pytest.mark.parametrize("mesh_seed", range(3))
async def test_half_of_it_and_then_all(mesh: Mesh, mesh_seed: int) -> None:
    assert mesh.seed == mesh_seed
    add_bookinfo(mesh, "all-v1")
    assert await versions(mesh, 10) == {"reviews-v1": 10}

    mesh.load(ROUTES / "reviews-50-v3.yaml")
    seen = await versions(mesh, 60)
    assert seen.keys() == {"reviews-v1", "reviews-v3"}
    assert 15 <= seen["reviews-v3"] <= 45

    mesh.load(ROUTES / "reviews-v3.yaml")
    assert await versions(mesh, 10) == {"reviews-v3": 10}


async def versions(mesh: Mesh, pages: int) -> Counter[str]:
    """Which version of reviews answered, over many pages."""
    return Counter([(await see_page(mesh))[1]["reviews"]["by"] for _ in range(pages)])
