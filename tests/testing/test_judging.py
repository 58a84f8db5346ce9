"""What an answer should be, and how its failure reads."""

from __future__ import annotations

import pytest

from meshd.testing.answer import Answer
from meshd.testing.cases.sharing import judge_shares
from meshd.testing.fields import FieldView, headers_of
from meshd.testing.judging import Expectation, Text, Within


def answer(**changes: object) -> Answer:
    given: dict[str, object] = {
        "status": 200,
        "headers": FieldView(headers_of({"x-one": "1"})),
        "body": b"hello",
        "took": 2.0,
        "served_by": "reviews-v2",
        "hosts": ("reviews-v1", "reviews-v2"),
        "service": "reviews",
        "request": "GET http://reviews/",
    }
    return Answer(**{**given, **changes})  # type: ignore[arg-type]


def test_what_holds_gives_the_answer_back() -> None:
    found = answer()
    assert found.expect(status=200, served_by="reviews", hosts=["reviews-v1", "reviews-v2"], took=2.0) is found
    found.expect(status=(200, 204), served_by=["reviews-v1", "reviews-v2"], took=(1, 3), body="hello", attempts=0)
    found.expect(body=b"hello", headers={"X-One": "1", "x-two": None}, flags=(), mtls=False)


def test_everything_that_does_not_hold_is_told_at_once() -> None:
    with pytest.raises(AssertionError) as caught:
        answer().expect(
            status=(503, 504),
            served_by="reviews-v1",
            hosts=["reviews-v1"],
            attempts=2,
            flags="UT",
            took=(0, 1),
            body="bye",
            headers={"x-one": None, "x-two": "2"},
            grpc_status=0,
            mtls=True,
        )
    assert str(caught.value) == (
        "GET http://reviews/ was not as expected\n"
        "  status         expected 503 or 504, got 200\n"
        "  served_by      expected reviews-v1, got reviews-v2\n"
        "  hosts          expected reviews-v1, got reviews-v1, reviews-v2\n"
        "  attempts       expected 2, got 0\n"
        "  flags          expected UT, got none\n"
        "  took           expected at most 1 s, got 2 s\n"
        "  body           expected 'bye', got 'hello'\n"
        "  headers.x-one  expected none, got '1'\n"
        "  headers.x-two  expected '2', got none\n"
        "  grpc_status    expected 0, got None\n"
        "  mtls           expected yes, got no\n"
        "  but: 200 from reviews-v2 after 2 s in 0 attempts (reviews-v1, reviews-v2)"
    )


def test_an_answer_of_the_proxy_itself() -> None:
    expected = Expectation(served_by=("",))
    assert expected.judge(answer(served_by="", service="")) == ()
    assert expected.judge(answer())[0].expected == "the calling proxy itself"


def test_a_long_body_is_cut() -> None:
    found = answer(body=b"x" * 500)
    assert len(repr(found)) < 250
    with pytest.raises(AssertionError) as caught:
        found.expect(body="y" * 500)
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize(
    ("text", "holds", "not_holds", "said"),
    [
        (Text(exact="a"), "a", "b", "'a'"),
        (Text(prefix="ab"), "abc", "cab", "beginning with 'ab'"),
        (Text(suffix="bc"), "abc", "bca", "ending in 'bc'"),
        (Text(contains="b", prefix="a"), "abc", "bc", "beginning with 'a' and containing 'b'"),
        (Text(regex="a+b"), "aab", "aabc", "matching 'a+b'"),
        (Text(absent=True), None, "", "none"),
        (Text(present=False), None, "x", "none"),
        (Text(present=True), "", None, "any"),
    ],
)
def test_texts(text: Text, holds: str | None, not_holds: str | None, said: str) -> None:
    assert text.holds(holds)
    assert not text.holds(not_holds)
    assert str(text) == said


def test_spans() -> None:
    assert Within.about(7).holds(7.0004)
    assert not Within.about(7).holds(7.001)
    assert [str(each) for each in (Within.about(7), Within(1), Within(0, 2), Within(1, 2))] == [
        "7 s",
        "at least 1 s",
        "at most 2 s",
        "1 to 2 s",
    ]


def test_shares_within_what_chance_allows() -> None:
    def seen(v1: int, v2: int, others: int = 0) -> list[tuple[str, ...]]:
        return [("reviews-v1", "reviews")] * v1 + [("reviews-v2", "reviews")] * v2 + [("", "")] * others

    half = {"reviews-v1": 50.0, "reviews-v2": 50.0}
    assert list(judge_shares("servedBy", half, seen(60, 40), None)) == []
    wrong = list(judge_shares("servedBy", half, seen(80, 20), None))
    assert [(each.field, each.got) for each in wrong] == [
        ("servedBy.reviews-v1", "80% (80 of 100)"),
        ("servedBy.reviews-v2", "20% (20 of 100)"),
    ]
    assert len(list(judge_shares("servedBy", half, seen(60, 40), 5))) == 2
    # A share of nothing or all leaves nothing to chance.
    assert list(judge_shares("servedBy", {"reviews-v1": 100.0}, seen(99, 1), None)) != []
    assert list(judge_shares("servedBy", {"reviews-v1": 0.0}, seen(1, 99), None)) != []
    assert list(judge_shares("servedBy", {"reviews": 100.0}, seen(30, 70), None)) == []
    others = list(judge_shares("servedBy", half, seen(49, 49, 2), None))
    assert [(each.expected, each.got) for each in others] == [
        ("only reviews-v1, reviews-v2", "the calling proxy itself")
    ]
