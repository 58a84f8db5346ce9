"""Istio's task "Request Routing": https://istio.io/latest/docs/tasks/traffic-management/request-routing/"""

from bookinfo import ROUTES, add_bookinfo, see_page

from meshd.testing import Mesh


async def test_without_routes_every_version_takes_its_turn(mesh: Mesh) -> None:
    add_bookinfo(mesh)
    seen = {(await see_page(mesh))[1]["reviews"]["by"] for _ in range(12)}
    assert seen == {"reviews-v1", "reviews-v2", "reviews-v3"}


async def test_everybody_sees_version_1(mesh: Mesh) -> None:
    add_bookinfo(mesh, "all-v1")
    for _ in range(10):
        _, page = await see_page(mesh)
        assert page["reviews"] == {"status": 200, "by": "reviews-v1"}


async def test_jason_sees_version_2(mesh: Mesh) -> None:
    add_bookinfo(mesh, "all-v1")
    mesh.load(ROUTES / "reviews-jason-v2.yaml")
    for user, version in (("jason", "reviews-v2"), ("bob", "reviews-v1"), ("", "reviews-v1")):
        _, page = await see_page(mesh, user)
        assert page["reviews"]["by"] == version
