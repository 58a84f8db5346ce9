"""Telemetry and ProxyConfig alone. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from meshd.api.document import Document, Path
from meshd.api.networking.proxy_config import ProxyConfig
from meshd.api.problem import Problem, error, warning
from meshd.api.telemetry import (
    AccessLogging,
    CustomTag,
    Metrics,
    MetricsOverrides,
    ProviderRef,
    TagOperation,
    Telemetry,
    Tracing,
)
from meshd.control.analysis import checks, selection
from meshd.control.analysis.cel import why_not_expression

LONGEST_VARIABLE = 2048
IMAGE_TYPES = ("", "default", "debug", "distroless")

_TAGS = {"literal": "value", "environment": "name", "header": "name", "formatter": "value"}
"""The kinds of custom tags, and the field that each must have."""


def validate(document: Document) -> Iterator[Problem]:
    """Istio's rules for a Telemetry."""
    telemetry: Telemetry = document.resource
    path: Path = ("spec",)
    yield from selection.selecting(telemetry, path)
    if len(telemetry.tracing) > 1:
        yield warning((*path, "tracing"), "only one entry of tracing counts: put everything into one")
    for index, tracing in enumerate(telemetry.tracing):
        yield from _tracing(tracing, (*path, "tracing", index))
    for index, metrics in enumerate(telemetry.metrics):
        yield from _metrics(metrics, (*path, "metrics", index))
    for index, logging in enumerate(telemetry.accessLogging):
        yield from _access_logging(logging, (*path, "accessLogging", index))


def _providers(providers: Sequence[ProviderRef], path: Path) -> Iterator[Problem]:
    for index, provider in enumerate(providers):
        if not provider.name:
            yield error((*path, "providers", index, "name"), "the provider's name is empty")


def _tracing(tracing: Tracing, path: Path) -> Iterator[Problem]:
    yield from _providers(tracing.providers, path)
    if len(tracing.providers) > 1:
        yield warning((*path, "providers"), "only one tracing provider counts: name one")
    share = tracing.randomSamplingPercentage
    if share is not None and not 0 <= share <= 100:
        yield error((*path, "randomSamplingPercentage"), f"{share:g} is not a percentage: 0 to 100")
    for name, tag in tracing.customTags.items():
        here = (*path, "customTags", name)
        if not name:
            yield error(here, "the tag's name is empty", at_value=False)
        yield from _tag(tag, here)


def _tag(tag: CustomTag, path: Path) -> Iterator[Problem]:
    given = [kind for kind in _TAGS if getattr(tag, kind) is not None]
    if len(given) > 1:
        yield error(path, f"{' and '.join(given)} cannot both be given: choose one", at_value=False)
    for kind in given:
        field = _TAGS[kind]
        if not getattr(getattr(tag, kind), field):
            yield error((*path, kind, field), f"the {field} of a {kind} tag is empty")


def _metrics(metrics: Metrics, path: Path) -> Iterator[Problem]:
    yield from _providers(metrics.providers, path)
    yield from checks.duration(metrics.reportingInterval, (*path, "reportingInterval"))
    for index, override in enumerate(metrics.overrides):
        yield from _override(override, (*path, "overrides", index))


def _override(override: MetricsOverrides, path: Path) -> Iterator[Problem]:
    match = override.match
    if match is not None and match.customMetric == "":
        yield error((*path, "match", "customMetric"), "the metric's name is empty")
    if match is not None and match.metric is not None and match.customMetric is not None:
        yield error((*path, "match"), "metric and customMetric cannot both be given: choose one", at_value=False)
    for name, tag in override.tagOverrides.items():
        here = (*path, "tagOverrides", name)
        if not name:
            yield warning(here, "the tag's name is empty")
        if tag.operation is TagOperation.UPSERT and not tag.value:
            yield error(here, "a value must be set when operation is UPSERT; REMOVE takes the tag away", at_value=False)
        elif tag.operation is TagOperation.REMOVE and tag.value:
            yield error((*here, "value"), "a value must not be set when operation is REMOVE; it is for UPSERT only")
        elif tag.value and (reason := why_not_expression(tag.value)):
            yield warning((*here, "value"), f'"{tag.value}" is not a CEL expression: {reason}', code="MD0005")


def _access_logging(logging: AccessLogging, path: Path) -> Iterator[Problem]:
    yield from _providers(logging.providers, path)
    if logging.filter is not None and (reason := why_not_expression(logging.filter.expression)):
        yield error((*path, "filter", "expression"), f"this is not a valid CEL expression: {reason}")


def validate_proxy_config(document: Document) -> Iterator[Problem]:
    """Istio's rules for a ProxyConfig."""
    config: ProxyConfig = document.resource
    path: Path = ("spec",)
    yield from selection.workload_selector(config.selector, (*path, "selector"))
    for name, value in config.environmentVariables.items():
        here = (*path, "environmentVariables", name)
        if not name:
            yield error(here, "the variable's name is empty", at_value=False)
        if len(value) > LONGEST_VARIABLE:
            yield error(here, f"the value is longer than {LONGEST_VARIABLE}")
    if config.image is not None and config.image.imageType not in IMAGE_TYPES:
        yield warning(
            (*path, "image", "imageType"), f'"{config.image.imageType}" is not one of Istio\'s images', code="MD0005"
        )
