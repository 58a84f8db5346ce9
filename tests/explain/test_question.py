"""Questions as plain data."""

from __future__ import annotations

import pytest

from meshd.explain.call import QuestionError, Told
from meshd.explain.question import Question

WHOLE = Question(
    "POST",
    "https://shop.example.com/",
    "",
    "ingressgateway",
    "gateway",
    (("istio", "ingressgateway"),),
    "istio-system",
    "10.0.0.1",
    Told((("end-user", "jason"),), ":443", "http2", "mtls", "x", "h2,istio", "spiffe://td/ns/a/sa/b", "192.0.2.1"),
)


@pytest.mark.parametrize("question", [WHOLE, Question(url="http://reviews/"), Question(url="x", sender="a/b")])
def test_there_and_back_again(question: Question) -> None:
    assert Question.of(question.to_data()) == question


def test_headers_in_each_form() -> None:
    expected = (("a", "1"), ("b", "x: y"))
    for headers in ({"a": 1, "b": "x: y"}, ["a: 1", "b: x: y"], [{"a": 1}, "b: x: y"]):
        assert Question.of({"url": "x", "headers": headers}).told.headers == expected
    assert Question.of({"url": "x", "alpn": ["h2", "http/1.1"]}).told.alpn == "h2,http/1.1"


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({}, "a call needs a url"),
        ({"url": "x", "headrs": []}, "did you mean 'headers'"),
        ({"url": "x", "zzz": 1}, "known are method, url, from"),
        ({"url": ["x"]}, "url: expected text"),
        ({"url": "x", "headers": {"a": True}}, "put it in quotes"),
        ({"url": "x", "headers": [["a"]]}, "expected text"),
        ({"url": "x", "labels": "app"}, "expected KEY=VALUE"),
        ({"url": "x", "labels": 5}, "expected a mapping or a list"),
        ({"url": "http://a/\ud800"}, "is no text"),
        ({"url": "x", "headers": {"a": "\udcff"}}, "is no text"),
        ({"url": "x", "tls": "tls", "sni": "\ud800"}, "is no text"),
    ],
)
def test_no_question(said: dict[str, object], message: str) -> None:
    with pytest.raises(QuestionError, match=message):
        Question.of(said)
