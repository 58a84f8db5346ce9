"""Counters, gauges and histograms, and their Prometheus text form. Pure.

A ``Registry`` is passed to whoever measures; there is no global one. A family
is a name with label names; ``family.labels(...)`` finds the child for label
values, and whoever measures often keeps that child: an increment is then one
addition. Everything happens in one task's step, so nothing needs a lock.

The number of children of a family is bounded, because label values come from
peers: what would exceed the bound is added to one child whose every label is
``overflow``, and counted, so that sums stay true.

``render`` gives the page in slices. The caller lets other tasks run between
two of them; a page of ten thousand series must not hold requests up.

Source: Prometheus text exposition format 0.0.4.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Final, Generic, TypeVar

from meshd.errors import ConfigError

SERIES_LIMIT: Final = 10_000
"""Children of one family. Istio's twenty-odd labels multiply; Prometheus begins to suffer about here."""
SLICE_LINES: Final = 400
"""Lines per slice of a page: well under a millisecond of work."""
OVERFLOW: Final = "overflow"

MILLISECOND_BUCKETS: Final = (
    0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 600_000,
    1_800_000, 3_600_000,
)  # fmt: skip
"""Envoy's histogram buckets (as measured on 1.40), which Istio's dashboards expect."""


class Counter:
    """A number that only grows. Made by ``Family.labels``."""

    __slots__ = ("_source", "value")

    def __init__(self) -> None:
        self.value: float = 0
        self._source: Callable[[], float] | None = None

    def inc(self, amount: float = 1) -> None:
        """Add ``amount``, which is not negative."""
        self.value += amount

    def follow(self, source: Callable[[], float]) -> None:
        """Ask ``source`` for the value whenever the page is rendered."""
        self._source = source

    def samples(self) -> Iterator[tuple[str, str, float]]:
        """(suffix, extra label, value) of each line."""
        yield "", "", self._source() if self._source is not None else self.value


class Gauge(Counter):
    """A number that goes up and down."""

    __slots__ = ()

    def set(self, value: float) -> None:
        """Be ``value`` from now on."""
        self.value = value


class Histogram:
    """How many observations fell into which bucket, their sum and count."""

    __slots__ = ("_bounds", "_counts", "_spelt", "total")

    def __init__(self, bounds: Sequence[float], spelt: Sequence[str]) -> None:
        self._bounds = bounds
        self._spelt = spelt
        self._counts = [0] * (len(bounds) + 1)
        self.total: float = 0

    def observe(self, value: float) -> None:
        """Count one observation."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        """Observations so far."""
        return sum(self._counts)

    def samples(self) -> Iterator[tuple[str, str, float]]:
        """(suffix, extra label, value) of each line."""
        running = 0
        for spelt, count in zip(self._spelt, self._counts, strict=True):
            running += count
            yield "_bucket", spelt, running
        yield "_sum", "", self.total
        yield "_count", "", running


Child = TypeVar("Child", Counter, Gauge, Histogram)


class Family(Generic[Child]):
    """A metric's name, help, label names and children. Made by ``Registry``."""

    __slots__ = ("_children", "_limit", "_make", "_on_overflow", "_texts", "help", "kind", "label_names", "name")

    def __init__(
        self, name: str, text: str, label_names: tuple[str, ...], *, kind: str, make: Callable[[], Child], limit: int
    ) -> None:
        self.name = name
        self.help = text
        self.label_names = label_names
        self.kind = kind
        self._make: Callable[[], Child] = make
        self._limit = limit
        # The whole mutable state: children by label values, and their labels as text once rendered.
        self._children: dict[tuple[str, ...], Child] = {}
        self._texts: dict[tuple[str, ...], str] = {}
        self._on_overflow: Callable[[], None] | None = None

    def labels(self, *values: str) -> Child:
        """The child for these label values, in the order of ``label_names``.

        Raises:
            ValueError: a different number of values than of names.
        """
        child = self._children.get(values)
        return child if child is not None else self._add(values)

    def _add(self, values: tuple[str, ...]) -> Child:
        if len(values) != len(self.label_names):
            raise ValueError(f"{self.name} has the labels {self.label_names}, not {len(values)} values")
        if len(self._children) >= self._limit:
            if self._on_overflow is not None:
                self._on_overflow()
            values = (OVERFLOW,) * len(values)
            if values in self._children:
                return self._children[values]
        child = self._children[values] = self._make()
        return child

    def clear(self) -> None:
        """Forget every child: for families whose labels say what is true now."""
        self._children.clear()
        self._texts.clear()

    def lines(self) -> Iterator[str]:
        """The family's part of the page."""
        yield f"# HELP {self.name} {_escape_help(self.help)}\n"
        yield f"# TYPE {self.name} {self.kind}\n"
        for values, child in list(self._children.items()):
            text = self._texts.get(values)
            if text is None:
                pairs = zip(self.label_names, values, strict=True)
                text = self._texts[values] = ",".join(f'{name}="{_escape(value)}"' for name, value in pairs)
            for suffix, bound, value in child.samples():
                labels = f'{text},le="{bound}"' if bound and text else f'le="{bound}"' if bound else text
                yield (
                    f"{self.name}{suffix}{{{labels}}} {number(value)}\n"
                    if labels
                    else (f"{self.name}{suffix} {number(value)}\n")
                )


class Registry:
    """Every metric of one process. Made by its composition root and passed on.

    Args:
        series_limit: Most children of one family.
    """

    def __init__(self, series_limit: int = SERIES_LIMIT) -> None:
        self._limit = series_limit
        self._families: dict[str, Family[Counter] | Family[Gauge] | Family[Histogram]] = {}
        self._overflow = self.counter(
            "meshd_metrics_series_overflow_total",
            "Observations that went to the overflow series because a metric had too many.",
            ("metric",),
        )

    def counter(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Family[Counter]:
        """A family of counters; the same one again if the name is known.

        Raises:
            ValueError: the name is taken by another kind, or has other labels.
        """
        return self._family(name, text, labels, kind="counter", make=Counter)

    def gauge(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Family[Gauge]:
        """A family of gauges, as ``counter``."""
        return self._family(name, text, labels, kind="gauge", make=Gauge)

    def histogram(
        self, name: str, text: str, labels: tuple[str, ...] = (), *, buckets: Sequence[float] = MILLISECOND_BUCKETS
    ) -> Family[Histogram]:
        """A family of histograms, as ``counter``. ``buckets`` are upper bounds, rising, without infinity."""
        bounds = tuple(buckets)
        if list(bounds) != sorted(set(bounds)) or not bounds:
            raise ConfigError(f"the buckets of {name} must rise: {bounds}")
        spelt = (*(bound_text(bound) for bound in bounds), "+Inf")
        return self._family(name, text, labels, kind="histogram", make=lambda: Histogram(bounds, spelt))

    def _family(
        self, name: str, text: str, labels: tuple[str, ...], *, kind: str, make: Callable[[], Child]
    ) -> Family[Child]:
        known = self._families.get(name)
        if known is not None:
            if known.kind != kind or known.label_names != labels:
                raise ValueError(f"{name} is already a {known.kind} with the labels {known.label_names}")
            return known  # type: ignore[return-value]  # the kind says which
        family: Family[Child] = Family(name, text, labels, kind=kind, make=make, limit=self._limit)
        if name != "meshd_metrics_series_overflow_total":
            counted = self._overflow.labels(name) if self._limit else None
            family._on_overflow = counted.inc if counted is not None else None
        self._families[name] = family
        return family

    def render(self) -> Iterator[bytes]:
        """The page in slices; metrics that move meanwhile show either value."""
        lines: list[str] = []
        for family in list(self._families.values()):
            if not family._children:
                continue
            for line in family.lines():
                lines.append(line)
                if len(lines) >= SLICE_LINES:
                    yield "".join(lines).encode("utf-8", "replace")
                    lines.clear()
        if lines:
            yield "".join(lines).encode("utf-8", "replace")


def number(value: float) -> str:
    """A sample's value."""
    if isinstance(value, int) or (math.isfinite(value) and value == int(value) and abs(value) < 1e15):
        return str(int(value))
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def bound_text(bound: float) -> str:
    """A bucket's ``le`` as Go writes it (``1.8e+06``): Prometheus compares it as text."""
    if 1e-4 <= bound < 1e6:
        return f"{bound:.17g}" if bound == int(bound) else repr(bound)
    digits = Decimal(repr(float(bound))).normalize().as_tuple().digits
    figures = "".join(map(str, digits))
    exponent = f"{bound:e}".partition("e")[2]
    return f"{figures[0]}{'.' if figures[1:] else ''}{figures[1:]}e{exponent[0]}{int(exponent[1:]):02d}"


def _escape(value: str) -> str:
    if "\\" in value or '"' in value or "\n" in value:
        return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return value


def _escape_help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")
