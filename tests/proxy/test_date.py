"""Every response says when: by its own Date, or by the proxy's."""

from __future__ import annotations

from email.utils import formatdate, parsedate_to_datetime

import pytest

from meshd.proxy.date import DateLine, http_date
from tests.fakes import answer
from tests.proxy.rig import EPOCH, Rig
from tests.proxy.snapshots import cluster, forward, gateway, route

A = "10.0.0.1:9080"


@pytest.mark.parametrize("second", [0, 784111777, 951782400, 1709210096, 4102444799])
def test_as_rfc_9110_writes_it(second):
    assert http_date(second).decode() == formatdate(second, usegmt=True)


def test_it_is_rendered_once_a_second():
    clock = [784111777.2]
    line = DateLine(lambda: clock[0])
    first = line.now()
    assert first == b"date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    clock[0] += 0.7
    assert line.now() is first
    clock[0] += 0.2
    assert line.now() == b"date: Sun, 06 Nov 1994 08:49:38 GMT\r\n"


SNAPSHOT = gateway(route(forward("c")), clusters=[cluster("c")], endpoints={"c": [A]})


async def test_responses_without_one_get_one(nursery, autojump_clock):
    rig = await Rig.start(nursery, SNAPSHOT)
    refused = await rig.get()
    assert refused.status == 503
    assert parsedate_to_datetime(refused.headers.get(b"date").decode()).timestamp() == pytest.approx(EPOCH, abs=5)
    await rig.upstream(A)
    forwarded = await rig.get()
    assert forwarded.status == 200
    assert len(forwarded.headers.get_all(b"date")) == 1


async def test_the_backend_s_own_is_kept(nursery, autojump_clock):
    rig = await Rig.start(nursery, SNAPSHOT)
    await rig.upstream(A, behaviour=answer(200, headers=[(b"Date", b"Sun, 06 Nov 1994 08:49:37 GMT")]))
    assert (await rig.get()).headers.get_all(b"date") == [b"Sun, 06 Nov 1994 08:49:37 GMT"]
