"""Host names, by the cases of Istio's own name tests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshd.control.hosts import covers, domains, narrower, overlaps, resolve, specificity, visible


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("reviews", "reviews.prod.svc.cluster.local"),
        ("reviews.default", "reviews.default"),
        ("*", "*"),
        ("*.example.com", "*.example.com"),
        ("10.0.0.1", "10.0.0.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("", ""),
    ],
)
def test_a_short_name_is_of_the_rules_namespace(host: str, expected: str) -> None:
    assert resolve(host, "prod") == expected


@pytest.mark.parametrize(
    ("pattern", "host", "expected"),
    [
        ("foo.com", "foo.com", True),
        ("foo.com", "bar.com", False),
        ("*", "anything.com", True),
        ("*", "*", True),
        ("*.com", "foo.com", True),
        ("*.foo.com", "foo.com", False),
        ("*.com", "*.foo.com", True),
        ("*.foo.com", "*.com", False),
        ("*-v1.foo.com", "a-v1.foo.com", True),
        ("*.facebook.COM", "a.facebook.com", False),
        ("foo.com", "*.com", False),
    ],
)
def test_covers(pattern: str, host: str, *, expected: bool) -> None:
    assert covers(pattern, host) is expected


def test_overlaps_and_narrower() -> None:
    assert overlaps("*.com", "foo.com")
    assert overlaps("foo.com", "*.com")
    assert not overlaps("*.org", "foo.com")
    assert narrower("*", "foo.com") == "foo.com"
    assert narrower("foo.com", "*") == "foo.com"
    assert narrower("*.foo.com", "*.com") == "*.foo.com"
    assert narrower("a.com", "b.com") is None


def test_specificity_is_exact_then_longest_then_alphabetical() -> None:
    hosts = ["*", "*.com", "b.com", "*.foo.com", "a.com", "longer.com"]
    assert sorted(hosts, key=specificity) == ["longer.com", "a.com", "b.com", "*.foo.com", "*.com", "*"]


@pytest.mark.parametrize(
    ("export_to", "viewer", "expected"),
    [
        ((), "b", True),
        (("*",), "b", True),
        ((".",), "a", True),
        ((".",), "b", False),
        (("b",), "b", True),
        (("b",), "c", False),
        (("~",), "a", False),
        (("b", "."), "a", True),
    ],
)
def test_visible(export_to: tuple[str, ...], viewer: str, *, expected: bool) -> None:
    assert visible(export_to, "a", viewer) is expected


def test_domains_of_a_service() -> None:
    host = "reviews.default.svc.cluster.local"
    assert domains(host, "default") == (host, f"{host}.", "reviews", "reviews.default", "reviews.default.svc")
    assert domains(host, "other") == (host, f"{host}.", "reviews.default", "reviews.default.svc")
    assert domains("Example.COM", "default") == ("example.com",)
    assert domains("*.default.svc.cluster.local", "default") == ("*.default.svc.cluster.local",)
    assert domains("a.com", "x", ("10.0.0.1", "10.1.0.0/16", "fd00::1")) == ("a.com", "10.0.0.1", "[fd00::1]")


HOSTS = st.text("ab.*-", min_size=1, max_size=6)


@given(HOSTS, HOSTS)
def test_narrower_is_covered_by_both(one: str, other: str) -> None:
    found = narrower(one, other)
    if found is not None:
        assert covers(one, found)
        assert covers(other, found)
    else:
        assert not overlaps(one, other)
