"""An explanation as a short story for people: what happened, in order, and the line that decides. Pure.

Each hop is a list of lines: a mark, a label, a text, and where it stands.
``>`` marks what decides, ``-`` what was looked at and did not match.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from textwrap import shorten
from typing import Final

import attrs

from meshd.api.document import printable
from meshd.explain.call import Call
from meshd.explain.decision import SERVED, Decision, Seen, Share, Verdict
from meshd.explain.explain import Explanation
from meshd.explain.hops import Hop
from meshd.snapshot.common import HeaderOperations, Percent
from meshd.snapshot.policy import Fault
from meshd.snapshot.route import RetryPolicy

WIDEST: Final = 76
"""Texts up to this long have their places in one column."""

MOST_ALIKE: Final = 8
"""Lines of one kind that did not match, before the rest is only counted."""

LABELS: Final = {
    "listener": "listener",
    "chain": "filter chain",
    "tls": "TLS",
    "path": "path",
    "route_config": "routes",
    "virtual_host": "virtual host",
    "virtual_service": "rules",
    "gateway": "gateway",
    "subset": "subset",
    "settings": "settings",
    "authorization": "policy",
    "filter": "filter",
    "cluster": "cluster",
}
QUIET: Final = frozenset({"chain"})
"""What did not match here is shown only when asked for: it says little about the configuration."""

OF_COURSE: Final = frozenset(
    {
        "x-request-id",
        "x-forwarded-proto",
        "x-forwarded-for",
        "x-envoy-external-address",
        "x-envoy-original-path",
        "x-envoy-original-host",
    }
)
"""Headers that every request gets, or that only repeat what another line says."""

MESH_SERVER_NAME: Final = re.compile(r", server name 'outbound_\.[^']*'")
"""Every connection inside the mesh has one, made from the cluster's name."""

SHORT: Final = 72
"""Characters of what is known of a connection; -v shows all."""

JUDGES: Final = frozenset({"authorization", "filter", "path"})
"""Who refuses."""


@attrs.frozen
class Line:
    """One line of a hop. ``mark``: ``>`` decides, ``-`` did not match, "" else."""

    label: str
    text: str
    file: str = ""
    mark: str = ""


@attrs.frozen
class Paint:
    """Escape sequences, or none of them."""

    colour: bool = False

    def bold(self, text: str) -> str:
        return self._in("1", text)

    def dim(self, text: str) -> str:
        return self._in("2", text)

    def good(self, text: str) -> str:
        return self._in("1;32", text)

    def bad(self, text: str) -> str:
        return self._in("1;31", text)

    def _in(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and text else text


def story(explanation: Explanation, *, verbose: bool = False, colour: bool = False) -> str:
    """The whole of it, without a line break at the end."""
    paint = Paint(colour)
    first = explanation.hops[0]
    said = [paint.bold(f"{first.call.method} {printable(first.call.url)}"), ""]
    said += [_outcome(explanation, paint)]
    for number, hop in enumerate(explanation.hops, 1):
        said += ["", f"{number}. {printable(str(hop.view))}"]
        said += [f"   {paint.dim(f'({printable(note)})')}" for note in hop.notes]
        said += _table(list(_lines(hop, verbose=verbose)), paint)
    return "\n".join(said)


def _outcome(explanation: Explanation, paint: Paint) -> str:
    """The verdict in one sentence."""
    verdict = explanation.verdict
    status = f" {explanation.status}" if explanation.status else ""
    head = f"{verdict.value}{status}"
    sentence = printable(explanation.reason) or _ending(explanation)
    return f"{(paint.good if explanation.served else paint.bad)(head)}: {sentence}"


def _ending(explanation: Explanation) -> str:
    decision = explanation.deciding.decision
    match decision.verdict:
        case Verdict.REDIRECT:
            return f"to {printable(decision.location)}"
        case Verdict.DIRECT_RESPONSE:
            return f"answered here{f' with {printable(decision.body[:80])!r}' if decision.body else ''}"
    decision = explanation.hops[0].decision
    shares = [each for each in decision.shares if each.percent]
    if len(shares) > 1:
        return "it goes to " + " or ".join(f"{_short(each.cluster)} ({each.percent:g} %)" for each in shares)
    return f"it goes to {_short(decision.cluster)}"


def _short(cluster: str) -> str:
    """``outbound|9080|v2|reviews.default.svc.cluster.local`` as a person says it."""
    parts = (cluster.replace("_.", "|") if cluster.startswith("outbound_.") else cluster).split("|")
    if len(parts) != 4:
        return {"PassthroughCluster": "where the client was going: the mesh does not know it"}.get(cluster, cluster)
    direction, port, subset, host = parts
    if direction == "inbound":
        return f"the application at port {port}"
    return f"{host} port {port}{f', subset {subset}' if subset else ''}"


def _table(lines: list[Line], paint: Paint) -> list[str]:
    label = max((len(line.label) for line in lines), default=0)
    width = max((len(line.text) for line in lines if line.file and len(line.text) <= WIDEST), default=0)
    return [_row(line, label, width, paint) for line in lines]


def _row(line: Line, label: int, width: int, paint: Paint) -> str:
    text = line.text.ljust(width) if line.file else line.text
    row = f" {line.mark or ' '} {line.label.ljust(label)}  {text}"
    place = f"  {line.file}" if line.file else ""
    if line.mark == "-":
        return paint.dim(f"{row}{place}".rstrip())
    if line.mark == ">":
        return f"{paint.bold(row.rstrip() if not place else row)}{place}"
    return f"{row}{place}".rstrip()


def _lines(hop: Hop, *, verbose: bool) -> Iterator[Line]:
    decision = hop.decision
    deciding = _deciding(decision)
    alike: dict[str, int] = {}
    for index, step in enumerate(decision.steps):
        if not step.matched and index != deciding:
            alike[step.at] = alike.get(step.at, 0) + 1
            if not verbose and (step.at in QUIET or alike[step.at] > MOST_ALIKE):
                if alike[step.at] == MOST_ALIKE + 1 and step.at not in QUIET:
                    more = sum(each.at == step.at and not each.matched for each in decision.steps) - MOST_ALIKE
                    yield Line("", f"and {more} more that do not match (-v shows them)", mark="-")
                continue
        yield _line(step, deciding=index == deciding, verbose=verbose)
        if step.at == "chain" and step.matched and decision.route_config:
            yield Line("routes", decision.route_config)
    if decision.verdict is Verdict.NO_ROUTE:
        yield Line("no route", decision.reason, mark=">")
    if decision.verdict is Verdict.ALLOW:
        yield from _going_up(decision, hop.call, verbose=verbose)
    else:
        yield from _faults(decision)
        if decision.mtls.because:
            yield _mtls(decision)


def _deciding(decision: Decision) -> int:
    """Which step decides: the rule that was taken, or what ended it; -1 where a line of its own says so."""
    steps = decision.steps
    if decision.verdict is Verdict.NO_ROUTE:
        return -1
    if decision.verdict in SERVED:
        wanted = {"route", "virtual_host"} if decision.route_config else {"chain", "tls", "tcp"}
        return max((index for index, step in enumerate(steps) if step.matched and step.at in wanted), default=-1)
    if decision.verdict is Verdict.DENY:
        return max((index for index, step in enumerate(steps) if step.at in JUDGES), default=-1)
    return max((index for index, step in enumerate(steps) if not step.matched), default=-1)


def _line(step: Seen, *, deciding: bool, verbose: bool) -> Line:
    mark = ">" if deciding else "" if step.matched else "-"
    because = printable(step.because)
    match step.at:
        case "route":
            rule = f"rule {step.rule}" if step.resource else "default rule"
            block = f" match {step.match}" if step.match > 0 else ""
            of = f" ({step.resource})" if deciding and step.resource else ""
            return Line(f"{rule}{block}", f"{because}{of}", step.file, mark)
        case "tls" | "tcp" if step.resource:
            block = f" match {step.match}" if step.match > 0 else ""
            return Line(f"{step.at} rule {step.rule}{block}", f"{because} ({step.resource})", step.file, mark)
        case "authorization":
            name = f"{step.resource} rule {step.rule}: " if step.resource else ""
            return Line(LABELS[step.at], f"{name}{because}", step.file, mark)
    name = printable(step.name)
    if step.at == "chain" and step.matched and not verbose:
        because = shorten(MESH_SERVER_NAME.sub("", because), SHORT, placeholder=" ...")
    text = f"{name}: {because}" if name and because else name or because
    return Line(LABELS.get(step.at, step.at), text, step.file, mark)


def _going_up(decision: Decision, call: Call, *, verbose: bool) -> Iterator[Line]:
    if len(decision.shares) > 1:
        yield from (Line("weight", f"{each.percent:g} % {each.cluster}") for each in decision.shares)
    if decision.endpoints:
        yield Line("endpoints", _several(decision.endpoints, 100 if verbose else 5))
    if decision.mtls.mode:
        yield _mtls(decision)
    if decision.rewritten.path:
        yield Line("path", f"rewritten to {printable(decision.rewritten.path)}")
    if decision.rewritten.host:
        yield Line("host", f"rewritten to {printable(decision.rewritten.host)}")
    yield from _faults(decision)
    if decision.timeout:
        yield Line("timeout", f"{decision.timeout:g} s, retries included")
    if decision.retry is not None:
        yield Line("retries", _retries(decision.retry))
    yield from (Line("mirror", _mirrored(each)) for each in decision.mirrors)
    yield from _headers(decision, call, verbose=verbose)


def _mtls(decision: Decision) -> Line:
    mutual = decision.mtls
    mode = f"{mutual.mode}: " if mutual.mode else ""
    return Line("mTLS", f"{mode}{printable(mutual.because)}", mutual.file)


def _faults(decision: Decision) -> Iterator[Line]:
    if decision.fault is not None:
        yield from (Line("fault", text) for text in _fault(decision.fault))


def _several(items: tuple[str, ...], most: int) -> str:
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more


def _percent(percent: Percent) -> str:
    return f"{percent.per_million / 10_000:g} % of requests"


def _fault(fault: Fault) -> Iterable[str]:
    if fault.delay is not None:
        yield f"{_percent(fault.delay.percent)} wait {fault.delay.seconds:g} s"
    if fault.abort is not None:
        status = fault.abort.http_status if fault.abort.http_status >= 0 else f"gRPC status {fault.abort.grpc_status}"
        yield f"{_percent(fault.abort.percent)} are answered {status} here"


def _retries(retry: RetryPolicy) -> str:
    if not retry.attempts:
        return "none"
    each = f", {retry.per_try_timeout:g} s for each try" if retry.per_try_timeout else ""
    codes = [str(code) for code in retry.status_codes]
    return f"{retry.attempts}, on {', '.join((*retry.on, *codes))}{each}"


def _mirrored(share: Share) -> str:
    return f"{share.percent:g} % copied to {share.cluster}"


def _headers(decision: Decision, call: Call, *, verbose: bool) -> Iterator[Line]:
    if verbose:
        yield from (Line("header", f"{name}: {printable(value)}") for name, value in decision.headers)
    elif decision.route_config:
        came, goes = set(call.headers), set(decision.headers)
        for name, value in decision.headers:
            if (name, value) not in came and name not in OF_COURSE:
                yield Line("request", f"{name}: {printable(value)}")
        for name in dict.fromkeys(name for name, _ in call.headers):
            if not any(name == each for each, _ in goes):
                yield Line("request", f"{name} is taken out")
    yield from (Line("response", text) for text in _edits(decision.response_headers))


def _edits(operations: HeaderOperations) -> Iterator[str]:
    yield from (f"{name} is taken out" for name in operations.remove)
    yield from (f"{name} is set to {printable(value)!r}" for name, value in operations.set)
    yield from (f"{name}: {printable(value)!r} is added" for name, value in operations.add)
