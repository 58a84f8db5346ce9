"""Istio's task "HTTP Traffic": https://istio.io/latest/docs/tasks/security/authorization/authz-http/"""

import pytest
from bookinfo import GATEWAY, add_bookinfo, see_page

from meshd.errors import MeshdError
from meshd.testing import Mesh


async def test_the_page_is_whole(mesh: Mesh) -> None:
    add_bookinfo(mesh, "who-may-call", "reviews-v3")
    _, page = await see_page(mesh)
    assert page["details"]["status"] == 200
    assert page["reviews"]["ratings"] == {"status": 200, "by": "ratings-v1"}


async def test_nobody_else_is_let_in(mesh: Mesh) -> None:
    add_bookinfo(mesh, "who-may-call")
    answer = await mesh.call(GATEWAY, "POST http://bookinfo.example.com:8080/productpage")
    answer.expect(status=403, body="RBAC: access denied")
    answer = await mesh.call("productpage", "GET http://ratings:9080/ratings/0")
    answer.expect(status=403, hosts=["ratings-v1"])
    assert mesh.services["ratings"].requests == []


async def test_a_stranger_without_a_certificate_gets_no_answer(mesh: Mesh) -> None:
    add_bookinfo(mesh)
    await mesh.settled()
    with pytest.raises(MeshdError, match="reset"):
        await mesh.outsider().call("GET http://ratings:9080/", to=mesh.workload("ratings").inbound)
