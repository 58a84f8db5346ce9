"""Header operations and the host rewrite hidden in them."""

from __future__ import annotations

from meshd.api.common import Map
from meshd.api.networking.virtual_service import HeaderOperations as Api
from meshd.api.networking.virtual_service import Headers
from meshd.control.compiler.headers import Edits, edits, then
from meshd.snapshot.common import HeaderOperations


def test_nothing() -> None:
    assert edits(None) == Edits()
    assert edits(Headers()) == Edits()


def test_the_request_line_and_host_are_not_edited() -> None:
    given = Api(
        set=Map({"Host": "h", ":path": "/", "X-B": "2", "x-a": "1"}),
        add=Map({":method": "PUT", "host": "no", "x-c": "3"}),
        remove=("Host", ":authority", "X-D"),
    )
    found = edits(Headers(request=given, response=given))
    expected = HeaderOperations(remove=("x-d",), set=(("x-a", "1"), ("x-b", "2")), add=(("x-c", "3"),))
    assert found == Edits(expected, expected, "h")


def test_authority_beats_host() -> None:
    found = edits(Headers(request=Api(set=Map({"host": "one", ":authority": "two"}))))
    assert found.host == "two"


def test_the_second_overwrites_what_the_first_set_or_added() -> None:
    first = HeaderOperations(remove=("r",), set=(("a", "1"), ("b", "1")), add=(("c", "1"), ("d", "1")))
    second = HeaderOperations(remove=("r", "s"), set=(("a", "2"), ("c", "2")), add=(("d", "2"),))
    assert then(first, second) == HeaderOperations(
        remove=("r", "s"), set=(("b", "1"), ("a", "2"), ("c", "2")), add=(("d", "1"), ("d", "2"))
    )


def test_adding_a_host_rewrites_it_too_but_setting_it_comes_first() -> None:
    assert edits(Headers(request=Api(add=Map({"host": "added"})))).host == "added"
    assert edits(Headers(request=Api(set=Map({"Host": "set"}), add=Map({"host": "added"})))).host == "set"


def test_an_operator_the_proxy_does_not_know_takes_its_edit_away_and_no_other() -> None:
    given = Api(set=Map({"x-a": "%NO_SUCH_OPERATOR%", "x-b": "%PROTOCOL%", "x-c": "100%%"}))
    assert edits(Headers(request=given)).request.set == (("x-b", "%PROTOCOL%"), ("x-c", "100%%"))
