"""What the configuration decides about a case's call, and what was expected of it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from meshd.api.durations import format_duration
from meshd.control.hosts import resolve
from meshd.explain.decision import Decision
from meshd.explain.explain import Explanation
from meshd.testing.cases.form import DECISION, Expect, Route, said
from meshd.testing.judging import MILLISECOND, Mismatch

NOTHING = "none"


def policy_of(explanation: Explanation) -> str:
    """The policy that decides, ``default/deny-all``; "" when there is none."""
    steps = [step for hop in explanation.hops for step in hop.decision.steps]
    deciding = [step.resource for step in steps if step.at == "authorization" and step.matched and step.resource]
    return deciding[-1].rpartition(" ")[2] if deciding else ""


def judge(expect: Expect, decided: Explanation) -> Iterator[Mismatch]:
    """In what the decisions differ from what was expected. Fields are spelled as in the file."""
    for name in said(expect, DECISION):
        yield from (
            JUDGES[name](expect, decided) if name in JUDGES else _judge_text(name, expect, decided.hops[0].decision)
        )


def _judge_text(name: str, expect: Expect, decision: Decision) -> Iterator[Mismatch]:
    values = {
        "virtualHost": decision.virtual_host,
        "cluster": decision.cluster,
        "mtls": decision.mtls.mode,
        "path": decision.rewritten.path,
        "location": decision.location,
        "listener": decision.listener,
        "filterChain": decision.filter_chain,
        "routeConfig": decision.route_config,
    }
    expected = getattr(expect, name)
    if values[name] != expected:
        yield Mismatch(name, expected or NOTHING, values[name] or NOTHING)


def _judge_verdict(expect: Expect, decided: Explanation) -> Iterator[Mismatch]:
    if decided.verdict != expect.verdict:
        yield Mismatch("verdict", expect.verdict or "", decided.verdict.value)


def _judge_route(expect: Expect, decided: Explanation) -> Iterator[Mismatch]:
    wanted, route = expect.route or Route(), decided.hops[0].decision.route
    resource = route.resource if route is not None else ""
    if wanted.resource is not None and _full(wanted.resource) != resource:
        yield Mismatch("route", wanted.resource or NOTHING, resource or NOTHING)
        return
    if wanted.rule is not None and (route is None or route.rule != wanted.rule):
        yield Mismatch("route.rule", str(wanted.rule), NOTHING if route is None else str(route.rule))
    if wanted.name is not None and (route is None or route.name != wanted.name):
        yield Mismatch("route.name", wanted.name, NOTHING if route is None else route.name or NOTHING)


def _judge_destination(expect: Expect, decided: Explanation) -> Iterator[Mismatch]:
    got = [destination(share.cluster) for share in decided.hops[0].decision.shares] or [
        destination(decided.hops[0].decision.cluster)
    ]
    host, slash, subset = (expect.destination or "").partition("/")
    wanted = f"{resolve(host, 'default')}{slash}{subset}"
    if wanted not in got:
        yield Mismatch(
            "destination", expect.destination or NOTHING, " or ".join(each for each in got if each) or NOTHING
        )


def _judge_policy(expect: Expect, decided: Explanation) -> Iterator[Mismatch]:
    wanted, got = expect.policy or "", policy_of(decided)
    if wanted != (got if "/" in wanted or not got else got.partition("/")[2]):
        yield Mismatch("policy", wanted or NOTHING, got or NOTHING)


def _judge_timeout(expect: Expect, decided: Explanation) -> Iterator[Mismatch]:
    wanted, got = expect.timeout or 0.0, decided.hops[0].decision.timeout
    if abs(wanted - got) >= MILLISECOND:
        yield Mismatch("timeout", _seconds(wanted), _seconds(got))


def _judge_retries(expect: Expect, decided: Explanation) -> Iterator[Mismatch]:
    wanted, got = expect.retries, decided.hops[0].decision.retry
    assert wanted is not None
    attempts, on = (got.attempts, got.on) if got is not None else (0, ())
    if wanted.attempts is not None and wanted.attempts != attempts:
        yield Mismatch("retries.attempts" if wanted.retryOn else "retries", str(wanted.attempts), str(attempts))
    if wanted.retryOn is not None and set(wanted.retryOn) != set(on):
        yield Mismatch("retries.retryOn", ", ".join(wanted.retryOn) or NOTHING, ", ".join(on) or NOTHING)


JUDGES: dict[str, Callable[[Expect, Explanation], Iterator[Mismatch]]] = {
    "verdict": _judge_verdict,
    "route": _judge_route,
    "destination": _judge_destination,
    "policy": _judge_policy,
    "timeout": _judge_timeout,
    "retries": _judge_retries,
}


def destination(cluster: str) -> str:
    """Host and subset of ``outbound|9080|v2|reviews.default.svc.cluster.local``; another cluster's own name."""
    parts = cluster.split("|")
    if len(parts) != 4:
        return cluster
    return f"{parts[3]}/{parts[2]}" if parts[2] else parts[3]


def _full(resource: str) -> str:
    """``VirtualService reviews`` with its namespace."""
    kind, _, name = resource.partition(" ")
    return resource if "/" in name or not name else f"{kind} default/{name}"


def _seconds(seconds: float) -> str:
    return format_duration(seconds) if seconds else NOTHING
