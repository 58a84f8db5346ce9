"""Counters, gauges, histograms and their page, held to Prometheus's own parser."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from meshd.errors import ConfigError
from meshd.telemetry.metrics import MILLISECOND_BUCKETS, SLICE_LINES, Registry, bound_text, number


def page(registry: Registry) -> str:
    return b"".join(registry.render()).decode()


def samples(registry: Registry) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(page(registry))
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def test_a_counter_is_read_back() -> None:
    registry = Registry()
    family = registry.counter("requests_total", "Requests.", ("code",))
    family.labels("200").inc()
    family.labels("200").inc(2)
    assert samples(registry)["requests_total", (("code", "200"),)] == 3


def test_a_gauge_follows_its_source() -> None:
    registry = Registry()
    values = [7.5]
    registry.gauge("level", "Level.").labels().follow(lambda: values[0])
    assert samples(registry)["level", ()] == 7.5
    values[0] = float("inf")
    assert samples(registry)["level", ()] == float("inf")


def test_a_histogram_counts_cumulatively() -> None:
    registry = Registry()
    child = registry.histogram("took", "Took.", ("a",), buckets=(1, 2.5, 10)).labels("x")
    for value in (0.5, 1, 2, 11):
        child.observe(value)
    read = samples(registry)
    counts = {bound: read["took_bucket", (("a", "x"), ("le", bound))] for bound in ("1", "2.5", "10", "+Inf")}
    assert counts == {"1": 2, "2.5": 3, "10": 3, "+Inf": 4}
    assert read["took_sum", (("a", "x"),)] == 14.5
    assert child.count == read["took_count", (("a", "x"),)] == 4


@given(st.text())
def test_any_label_value_survives(value: str) -> None:
    value = value.encode("utf-8", "replace").decode().replace("\r", "").replace("\x00", "")
    registry = Registry()
    registry.counter("c_total", "Line one\nline \\ two.", ("l",)).labels(value).inc()
    text = page(registry)
    lines = [line for line in text.split("\n") if line.startswith("c_total{")]
    assert len(lines) == 1
    if not any(separator in value for separator in "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"):
        # The oracle splits lines where Prometheus does not.
        assert samples(registry)["c_total", (("l", value),)] == 1


def test_bounds_are_spelt_as_go_spells_them() -> None:
    spelt = [bound_text(bound) for bound in MILLISECOND_BUCKETS]
    assert spelt[0] == "0.5"
    assert spelt[-5:] == ["60000", "300000", "600000", "1.8e+06", "3.6e+06"]
    assert bound_text(0.00001) == "1e-05"


@given(st.floats(allow_nan=False) | st.integers(-(2**53), 2**53))
def test_numbers_mean_what_they_were(value: float) -> None:
    assert float(number(value)) == value


def test_too_many_series_fold_into_one_and_are_counted() -> None:
    registry = Registry(series_limit=2)
    family = registry.counter("c_total", "C.", ("peer",))
    for peer in ("a", "b", "c", "d"):
        family.labels(peer).inc()
    read = samples(registry)
    assert read["c_total", (("peer", "overflow"),)] == 2
    assert read["meshd_metrics_series_overflow_total", (("metric", "c_total"),)] == 2
    assert sum(value for (name, _), value in read.items() if name == "c_total") == 4


def test_the_page_comes_in_slices() -> None:
    registry = Registry()
    family = registry.counter("c_total", "C.", ("n",))
    for n in range(SLICE_LINES * 3):
        family.labels(str(n)).inc()
    slices = list(registry.render())
    assert len(slices) > 3
    assert max(piece.count(b"\n") for piece in slices) <= SLICE_LINES


def test_series_may_come_while_the_page_is_made() -> None:
    registry = Registry()
    family = registry.counter("c_total", "C.", ("n",))
    for n in range(SLICE_LINES * 2):
        family.labels(str(n)).inc()
    rendering = registry.render()
    next(rendering)
    family.labels("new").inc()
    assert list(rendering)


def test_misuse_is_refused() -> None:
    registry = Registry()
    family = registry.counter("c_total", "C.", ("n",))
    with pytest.raises(ValueError, match="labels"):
        family.labels("a", "b")
    with pytest.raises(ValueError, match="already"):
        registry.gauge("c_total", "C.", ("n",))
    assert registry.counter("c_total", "C.", ("n",)) is family
    with pytest.raises(ConfigError):
        registry.histogram("h", "H.", buckets=(2, 1))


def test_labels_of_a_hostile_peer_do_not_break_the_page() -> None:
    registry = Registry()
    registry.counter("c", "C.", ("peer",)).labels('a\ud800"\n').inc()
    assert b'c{peer="a?\\"\\n"} 1\n' in b"".join(registry.render())
